// Makes calls with OpenAI's SDK for Node, as openai_driver.py does with the one for Python:
//     node openai_driver.mjs BASE_URL KEY
import { createInterface } from "node:readline";
import { OpenAI, APIError, NotFoundError, toFile } from "openai";
import { VERSION } from "openai/version";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

async function run(job) {
  try {
    return await CALLS[job.call](job);
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    const { status, code, param, type } = error;
    return { error: { status: status ?? null, code, param, type } };
  }
}

async function chat({ mode, params }) {
  if (mode === "helper") {
    return said(await client.chat.completions.stream(params).finalChatCompletion());
  }
  const asked = client.chat.completions.create({ ...params, stream: mode === "streamed" });
  const { data, response } = await asked.withResponse();
  const whole = mode === "whole" ? data : await joined(data);
  return { ...said(whole), ignored: response.headers.get("x-gbproxy-ignored") };
}

// The chunks of a stream as one completion, put together as programs do it.
async function joined(stream) {
  const whole = { choices: [], usage: null };
  try {
    for await (const chunk of stream) {
      whole.model = chunk.model;
      whole.usage = chunk.usage ?? whole.usage;
      for (const choice of chunk.choices) {
        whole.choices[choice.index] ??= { message: {} };
        add(whole.choices[choice.index], choice);
      }
    }
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    whole.error = { status: null, code: error.code, param: error.param };
  }
  return whole;
}

function add(choice, more) {
  choice.finish_reason = more.finish_reason ?? choice.finish_reason;
  const message = choice.message;
  for (const [name, value] of Object.entries(more.delta)) {
    if (name === "tool_calls") {
      for (const call of value) addCall((message.tool_calls ??= []), call);
    } else if (name === "function_call") {
      addTexts((message.function_call ??= {}), value);
    } else if (typeof value === "string") {
      message[name] = (message[name] ?? "") + value;
    } else if (value !== null) {
      message[name] = value;
    }
  }
}

function addCall(calls, more) {
  if (more.index === calls.length) {
    if (!more.id) throw new Error("a call has to begin with its id");
    calls.push({ id: more.id, type: more.type });
  }
  for (const kind of ["function", "custom"]) {
    if (more[kind]) addTexts((calls[more.index][kind] ??= {}), more[kind]);
  }
}

function addTexts(inner, more) {
  for (const [key, text] of Object.entries(more)) inner[key] = (inner[key] ?? "") + text;
}

// What all drivers tell of a completion.
function said({ model, usage, choices, error }) {
  return {
    model,
    usage: usage && {
      prompt_tokens: usage.prompt_tokens,
      completion_tokens: usage.completion_tokens,
    },
    choices: choices.map(({ message, finish_reason }) => ({
      text: message.content ?? "",
      refusal: message.refusal ?? null,
      finish_reason,
      calls: (message.tool_calls ?? []).map((call) => ({
        id: call.id,
        type: call.type,
        name: call[call.type].name,
        text: call.type === "custom" ? call.custom.input : call.function.arguments,
      })),
      function_call: message.function_call ?? null,
      annotations: (message.annotations ?? []).map((each) => each.url_citation),
    })),
    error: error ?? null,
  };
}

const made = async (promise) => ({ made: JSON.stringify(await promise) });

// Uploads a file, reads it, asks about it in two ways, and deletes it.
async function file({ params: { model, name, text } }) {
  const made = await client.files.create({
    file: await toFile(Buffer.from(text), name), purpose: "user_data",
  });
  const ids = [];
  for await (const each of client.files.list({ limit: 1 })) ids.push(each.id);
  const parts = [{ type: "text", text: "What is it?" }, { type: "file", file: { file_id: made.id } }];
  const messages = [{ role: "user", content: parts }];
  const input = [{ role: "user", content: [{ type: "input_file", file_id: made.id }] }];
  return {
    made,
    read: await client.files.retrieve(made.id),
    content: await (await client.files.content(made.id)).text(),
    is_listed: ids.includes(made.id),
    chat: (await client.chat.completions.create({ model, messages })).choices[0].message.content,
    response: (await client.responses.create({ model, input })).output_text,
    deleted: await client.files.delete(made.id),
  };
}

// Makes a picture, and edits it: both in base64.
async function picture({ mode, params }) {
  const stream = mode === "streamed";
  async function last(promise) {
    let made = await promise;
    if (!stream) return made.data[0].b64_json;
    for await (const event of made) made = event;
    return made.b64_json;
  }
  const made = await last(client.images.generate({ ...params, stream }));
  const image = await toFile(Buffer.from(made, "base64"), "fox.png", { type: "image/png" });
  return { made, edited: await last(client.images.edit({ ...params, image, stream })) };
}

// Asks for a response, and tells its items.
async function response({ mode, params }) {
  const events = [];
  let made;
  if (mode === "helper") {
    const stream = client.responses.stream(params);
    for await (const event of stream) events.push(event.type);
    made = await stream.finalResponse();
  } else if (mode === "streamed") {
    for await (const event of await client.responses.create({ ...params, stream: true })) {
      events.push(event.type);
      made = event.response ?? made;
    }
  } else {
    made = await client.responses.create(params);
  }
  const parts = made.output.flatMap((item) => (item.type === "message" ? item.content : []));
  const calls = made.output.filter((item) => item.type === "function_call");
  return {
    status: made.status,
    last: events.at(-1) ?? null,
    items: made.output.map((item) => item.type),
    thoughts: made.output.flatMap((item) => (item.summary ?? []).map((each) => each.text)),
    text: parts.map((part) => part.text ?? "").join(""),
    calls: calls.map((call) => ({ name: call.name, arguments: call.arguments })),
  };
}

// Asks for a response and goes on from it, reads both as they are kept, and deletes the first.
async function storedResponse({ params: { further, ...ask } }) {
  const first = await client.responses.create(ask);
  const onward = { ...ask, input: further, previous_response_id: first.id };
  const second = await client.responses.stream(onward).finalResponse();
  const listed = [];
  for await (const item of client.responses.inputItems.list(second.id, { order: "asc", limit: 1 })) {
    listed.push(...item.content.map((part) => part.text));
  }
  const read = [];
  for (const { id } of [first, second]) read.push(await client.responses.retrieve(id));
  await client.responses.delete(first.id);
  const isGone = client.responses.retrieve(first.id).then(
    () => false,
    (error) => error instanceof NotFoundError,
  );
  return {
    texts: read.map((each) => each.output_text),
    follows: read[1].previous_response_id === first.id,
    listed,
    is_gone: await isGone,
  };
}

const CALLS = {
  file,
  picture,
  response,
  "stored response": storedResponse,
  version: async () => ({ version: VERSION }),
  chat,
  models: async () => ({ models: (await client.models.list()).data }),
  model: async ({ params }) => ({ models: [await client.models.retrieve(params.model)] }),
  embeddings: ({ params }) => made(client.embeddings.create(params)),
  moderations: ({ params }) => made(client.moderations.create(params)),
  speech: ({ params }) => made(client.audio.speech.create(params)),
  transcription: async ({ params }) => {
    const file = await toFile(Buffer.from("RIFF"), "voice.wav");
    return made(client.audio.transcriptions.create({ ...params, file }));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(JSON.parse(line))));
}
