// Makes calls with OpenAI's SDK for Node, as openai_driver.py does with the one for Python:
//     node openai_driver.mjs BASE_URL KEY
import { createInterface } from "node:readline";
import { OpenAI, APIError, toFile } from "openai";
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

const CALLS = {
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
