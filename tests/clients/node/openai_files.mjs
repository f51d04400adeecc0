// What OpenAI's SDK for Node makes of the gateway's files and pictures, for the scenarios that are
// named as arguments, one after the other: one JSON object on stdout, with a field for each.
// BASE_URL, API_KEY and MODEL come from the environment, FILE, the path of one, and IMAGE in base64.

import { readFile } from 'node:fs/promises';
import { NotFoundError, OpenAI, toFile } from 'openai';

const { BASE_URL: baseURL, API_KEY: apiKey, MODEL: model } = process.env;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const pdf = async () => toFile(await readFile(process.env.FILE), 'what.pdf', { type: 'application/pdf' });
const png = Buffer.from(process.env.IMAGE ?? '', 'base64');
// Behind its end a picture may have anything: it tells one from the other.
const picture = (name) => toFile(Buffer.concat([png, Buffer.from(name)]), name, { type: 'image/png' });

async function isGone(id) {
  try {
    await client.files.retrieve(id);
  } catch (error) {
    return error instanceof NotFoundError;
  }
  return false;
}

async function files() {
  const expires_after = { anchor: 'created_at', seconds: 7200 };
  const made = await client.files.create({ file: await pdf(), purpose: 'user_data', expires_after });
  const image = await client.files.create({ file: await picture('a.png'), purpose: 'vision' });
  const listed = [];
  for await (const file of client.files.list({ limit: 1, order: 'asc' })) listed.push(file.id);
  const one = await client.files.retrieve(made.id);
  const content = await (await client.files.content(made.id)).arrayBuffer();
  const said = await chat(made);
  const answered = await response(made, image);
  const deleted = await client.files.delete(made.id);
  return {
    made, image, listed, one, said, answered, deleted,
    content: Buffer.from(content).toString('base64'),
    gone: await isGone(made.id),
  };
}

async function chat({ id: file_id }) {
  const content = [{ type: 'text', text: 'What is it?' }, { type: 'file', file: { file_id } }];
  const messages = [{ role: 'user', content }];
  const { choices: [{ message }] } = await client.chat.completions.create({ model, messages });
  return message.content;
}

async function response(file, image) {
  const content = [
    { type: 'input_text', text: 'And these?' },
    { type: 'input_image', file_id: image.id, detail: 'auto' },
    { type: 'input_file', file_id: file.id },
  ];
  return (await client.responses.create({ model, input: [{ role: 'user', content }] })).output_text;
}

async function generated() {
  const ask = { model: 'gpt-image-2', prompt: 'A red fox', size: '1024x1024' };
  const [{ b64_json }] = (await client.images.generate({ ...ask, n: 1 })).data;
  const [{ url }] = (await client.images.generate({ ...ask, response_format: 'url' })).data;
  const linked = Buffer.from(await (await fetch(url)).arrayBuffer()).toString('base64');
  const events = [];
  const streamed = await client.images.generate({ ...ask, stream: true, partial_images: 1 });
  for await (const event of streamed) events.push({ type: event.type, b64_json: event.b64_json });
  return { b64_json, linked, events };
}

async function edited() {
  const ask = { model: 'gpt-image-2', prompt: 'Make it blue' };
  const one = await client.images.edit({ ...ask, image: await picture('a.png') });
  const images = [await picture('b.png'), await picture('c.png')];
  const several = await client.images.edit({ ...ask, image: images, mask: await picture('m.png') });
  return { one: one.data[0].b64_json, several: several.data[0].b64_json };
}

const scenarios = { files, generated, edited };
const found = {};
for (const name of process.argv.slice(2)) found[name] = await scenarios[name]();
console.log(JSON.stringify(found));
