// What `@google/genai` makes of the gateway's answers to the scenarios that are named as arguments,
// one after the other: one JSON object on stdout, with a field for each.
// BASE_URL, API_KEY, API_VERSION, MODEL and QUESTION come from the environment; for some of them
// also IMAGE in base64, or FILE, the path of one.

import { readFile } from 'node:fs/promises';
import {
  ApiError, createPartFromUri, FunctionCallingConfigMode, GoogleGenAI, Type,
} from '@google/genai';

const { BASE_URL: baseUrl, API_KEY: apiKey, API_VERSION: apiVersion, MODEL: model } = process.env;
const google = new GoogleGenAI({ apiKey, apiVersion, httpOptions: { baseUrl } });
const question = process.env.QUESTION;

async function textOf(stream) {
  let text = '';
  for await (const chunk of stream) text += chunk.text ?? '';
  return text;
}

async function failureOf(work) {
  try {
    await work();
  } catch (error) {
    return { isApiError: error instanceof ApiError, status: error.status, message: error.message };
  }
  return null;
}

async function whole() {
  const config = { thinkingConfig: { includeThoughts: true }, systemInstruction: 'Be brief.' };
  const response = await google.models.generateContent({ model, contents: question, config });
  const [{ content, finishReason }] = response.candidates;
  const thoughts = content.parts.filter((part) => part.thought).map((part) => part.text);
  return { text: response.text, thoughts, finishReason, usage: response.usageMetadata };
}

async function streamed() {
  return textOf(await google.models.generateContentStream({ model, contents: question }));
}

async function chat() {
  const chat = google.chats.create({ model });
  const said = await textOf(await chat.sendMessageStream({ message: question }));
  const { text } = await chat.sendMessage({ message: 'Which colour?' });
  return { said, text };
}

async function brokenStream() {
  let text = '';
  const failure = await failureOf(async () => {
    const stream = await google.models.generateContentStream({ model, contents: question });
    for await (const chunk of stream) text += chunk.text ?? '';
  });
  return { text, failure };
}

async function call() {
  const parameters = {
    type: Type.OBJECT,
    properties: { city: { type: Type.STRING } },
    required: ['city'],
  };
  const tools = [{ functionDeclarations: [{ name: 'get_weather', parameters }] }];
  const calling = { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } };
  const contents = [{ role: 'user', parts: [{ text: 'What is the weather in Oslo?' }] }];
  const first = await google.models.generateContent({
    model, contents, config: { tools, toolConfig: calling },
  });
  const [{ id, name, args }] = first.functionCalls;
  const functionResponse = { id, name, response: { output: '4 C' } };
  contents.push(first.candidates[0].content, { role: 'user', parts: [{ functionResponse }] });
  const second = await google.models.generateContent({ model, contents, config: { tools } });
  return { name, args, text: second.text };
}

async function structured() {
  const schema = { type: Type.OBJECT, properties: { capital: { type: Type.STRING } }, required: ['capital'] };
  const config = { responseMimeType: 'application/json', responseSchema: schema };
  const contents = 'What is the capital, Oslo?';
  return JSON.parse((await google.models.generateContent({ model, contents, config })).text);
}

async function models() {
  const names = [];
  for await (const each of await google.models.list({ config: { pageSize: 4 } })) names.push(each.name);
  return { names, one: await google.models.get({ model }) };
}

async function image() {
  const inlineData = { mimeType: 'image/png', data: process.env.IMAGE };
  const contents = [{ role: 'user', parts: [{ text: question }, { inlineData }] }];
  return (await google.models.generateContent({ model, contents })).text;
}

async function drawn() {
  const config = { responseModalities: ['IMAGE'] };
  const response = await google.models.generateContent({ model, contents: question, config });
  return response.candidates[0].content.parts.map((part) => part.inlineData).filter(Boolean);
}

async function files() {
  const file = new Blob([await readFile(process.env.FILE)], { type: 'application/pdf' });
  const made = await google.files.upload({ file, config: { displayName: 'what.pdf' } });
  const image = new Blob([Buffer.from(process.env.IMAGE, 'base64')], { type: 'image/png' });
  const other = await google.files.upload({ file: image });
  const one = await google.files.get({ name: made.name });
  const listed = [];
  for await (const each of await google.files.list({ config: { pageSize: 1 } })) listed.push(each.name);
  const parts = [made, other].map(({ uri, mimeType }) => createPartFromUri(uri, mimeType));
  const contents = [{ role: 'user', parts: [{ text: question }, ...parts] }];
  const { text } = await google.models.generateContent({ model, contents });
  await google.files.delete({ name: made.name });
  const failure = await failureOf(() => google.files.get({ name: made.name }));
  return { made, other, one, listed, text, failure };
}

async function tokens() {
  return (await google.models.countTokens({ model, contents: question })).totalTokens;
}

function unknownModel() {
  return failureOf(() => google.models.generateContent({ model: 'none-such', contents: question }));
}

function wrongField() {
  const config = { candidateCount: 9 };
  return failureOf(() => google.models.generateContent({ model, contents: question, config }));
}

const scenarios = {
  whole, streamed, chat, brokenStream, call, structured, image, drawn, files, tokens,
  models, unknownModel, wrongField,
};
const found = {};
for (const name of process.argv.slice(2)) found[name] = await scenarios[name]();
console.log(JSON.stringify(found));
