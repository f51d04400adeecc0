// The playground: asks /v1/chat/completions as any client does, with the session in place of a key.
"use strict";
(() => {
  const the = (id) => document.getElementById(id);
  const form = the("question"), message = the("message"), model = the("model"), turns = the("turns");
  const words = the("words").dataset;
  const headers = { "X-CSRF-Token": form.dataset.csrfToken, "Content-Type": "application/json" };
  let history = []; // the turns that went well, as they are sent
  let pictures = []; // of the next message: {name, url}
  let running = null; // the AbortController of the answer that runs

  // What is asked

  function messages() {
    const system = the("system").value.trim();
    return [...(system ? [{ role: "system", content: system }] : []), ...history, question()];
  }

  function question() {
    const text = message.value.trim();
    if (!pictures.length) return { role: "user", content: text };
    const images = pictures.map(({ url }) => ({ type: "image_url", image_url: { url } }));
    return { role: "user", content: [...(text ? [{ type: "text", text }] : []), ...images] };
  }

  function body() {
    return { model: model.value, messages: messages(), stream: true, include_reasoning: the("thinks").checked };
  }

  // What is shown

  function turn(who, asked) {
    const made = the("turn").content.firstElementChild.cloneNode(true);
    made.classList.toggle("asked", asked);
    made.querySelector("h2").textContent = who;
    turns.append(made);
    const [thoughts, text] = made.querySelectorAll(".text");
    return { made, thoughts, text, pictures: made.querySelector(".pictures"), about: made.querySelector(".about") };
  }

  function picture(list, url, name, remove) {
    const item = the("picture").content.firstElementChild.cloneNode(true);
    const [image, button] = [item.querySelector("img"), item.querySelector("button")];
    image.src = url;
    image.alt = name;
    if (remove) {
      button.textContent = `${words.remove} ${name}`;
      button.addEventListener("click", remove);
    } else button.remove();
    list.append(item);
  }

  // A file of an answer is shown from where this page came from, whatever address its link names.
  function address(link) {
    if (link.startsWith("data:image/")) return link;
    return URL.canParse(link) ? (new URL(link).pathname.match(/\/media\/[\w-]+$/)?.[0] ?? null) : null;
  }

  // Links to files become links; those to pictures, which are shown below, go.
  function linked(text) {
    const parts = [];
    let at = 0;
    for (const found of text.matchAll(/(!?)\[([^\]\n]*)\]\((https?:[^\s)]+)\)(\n?)/g)) {
      const link = address(found[3]);
      if (link === null) continue;
      parts.push(text.slice(at, found.index));
      at = found.index + found[0].length - (found[1] ? 0 : found[4].length);
      if (found[1]) continue;
      const anchor = document.createElement("a");
      [anchor.href, anchor.target, anchor.textContent] = [link, "_blank", found[2] || link];
      parts.push(anchor);
    }
    return [...parts, text.slice(at)];
  }

  function fail(code, detail) {
    const known = the("words").content.querySelector(`[data-code="${CSS.escape(code)}"]`);
    const line = (known ?? the("words").content.querySelector('[data-code="other"]')).cloneNode(true);
    line.className = "notice bad";
    if (detail) {
      const said = document.createElement("span");
      [said.lang, said.textContent] = ["en", ` (${detail})`];
      line.append(said);
    }
    the("problem").replaceChildren(line);
  }

  function showChosen() {
    the("chosen").replaceChildren();
    for (const each of pictures)
      picture(the("chosen"), each.url, each.name, () => {
        pictures = pictures.filter((other) => other !== each);
        showChosen();
        message.focus();
      });
    showCode();
  }

  function showCode() {
    const asked = body();
    const short = JSON.stringify(asked, (_, value) =>
      typeof value === "string" && value.startsWith("data:") ? `${value.slice(0, 40)}…` : value);
    const url = `${form.dataset.url}/v1`;
    the("as-curl").textContent =
      `curl -N ${url}/chat/completions \\\n  -H "Authorization: Bearer $API_KEY" \\\n` +
      `  -H "Content-Type: application/json" \\\n  -d '${short.replaceAll("'", "'\\''")}'`;
    const told = JSON.stringify(JSON.parse(short).messages);
    the("as-python").textContent =
      `import os\n\nfrom openai import OpenAI\n\n# export API_KEY=…, and it is $API_KEY here too\n` +
      `client = OpenAI(base_url="${url}", api_key=os.environ["API_KEY"])\nstream = client.chat.completions.create(\n` +
      `    model=${JSON.stringify(asked.model)},\n    messages=${told},\n    stream=True,\n` +
      `    extra_body={"include_reasoning": ${asked.include_reasoning ? "True" : "False"}},\n)\n` +
      `for chunk in stream:\n    for choice in chunk.choices:\n        print(choice.delta.content or "", end="", flush=True)\n`;
  }

  function busy(is) {
    const hadFocus = [the("send"), the("stop")].includes(document.activeElement);
    the("send").hidden = is;
    the("stop").hidden = !is;
    the("afresh").disabled = is;
    turns.setAttribute("aria-busy", String(is));
    if (hadFocus) (is ? the("stop") : message).focus();
  }

  // The answer

  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) if (part.startsWith("data: ")) yield part.slice(6);
    }
  }

  class Refused extends Error {
    constructor({ code, message: said }) {
      super(said);
      this.code = code;
    }
  }

  async function refusal(response) {
    try {
      return new Refused((await response.json()).error);
    } catch {
      return new Refused({ code: "other", message: `HTTP ${response.status}` });
    }
  }

  // Fills the turn with the answer; its text.
  async function answer(asked, signal, shown) {
    const began = performance.now();
    let text = "", refused = "", name = asked.model, first = null, used = null, ended = false, held = false;
    const about = () => {
      const parts = [name];
      if (first !== null) parts.push(words.seconds.replace("{n}", first.toFixed(1)));
      if (used !== null) parts.push(words.tokens.replace("{n}", used));
      if (held) parts.push(words.held);
      shown.about.textContent = parts.join(" · ");
    };
    const add = (delta) => {
      if (delta.reasoning_content) {
        shown.made.querySelector(".thoughts").hidden = false;
        shown.thoughts.append(delta.reasoning_content);
      }
      if (delta.content || delta.reasoning_content) first ??= (performance.now() - began) / 1000;
      if (delta.content) {
        const follows = innerHeight + scrollY >= document.body.scrollHeight - 40;
        text += delta.content;
        shown.text.append(delta.content);
        if (follows) scrollTo(0, document.body.scrollHeight);
      }
      refused += delta.refusal ?? "";
      for (const { image_url } of delta.images ?? []) {
        const link = address(image_url.url);
        if (link) picture(shown.pictures, link, words.picture);
      }
    };
    const response = await fetch("/v1/chat/completions", {
      method: "POST", headers, signal, body: JSON.stringify({ ...asked, stream_options: { include_usage: true } }),
    });
    if (!response.ok) throw await refusal(response);
    for await (const data of events(response)) {
      if (data === "[DONE]") { ended = true; continue; }
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Refused(chunk.error);
      name = chunk.model || name;
      used = chunk.usage?.total_tokens ?? used;
      for (const choice of chunk.choices) {
        add(choice.delta);
        held ||= choice.finish_reason === "content_filter";
      }
    }
    if (!ended) throw new Refused({ code: "cut_off", message: "" });
    if (refused && !text) shown.text.append(refused);
    else shown.text.replaceChildren(...linked(text));
    about();
    return text || refused;
  }

  async function ask() {
    const asked = body(), said = question(), typed = message.value, chosen = pictures;
    if (running || !said.content.length) return;
    running = new AbortController();
    the("problem").replaceChildren();
    the("progress").textContent = words.answering;
    const mine = turn(words.you, true);
    mine.text.textContent = typed.trim();
    for (const { url, name } of chosen) picture(mine.pictures, url, name);
    const shown = turn(words.model, false);
    [message.value, pictures] = ["", []];
    showChosen();
    busy(true);
    try {
      const text = await answer(asked, running.signal, shown);
      history.push(said, { role: "assistant", content: text });
      the("progress").textContent = words.done;
    } catch (error) {
      const stopped = error.name === "AbortError", partial = shown.text.textContent;
      the("progress").textContent = stopped ? words.stopped : "";
      if (stopped && partial) {
        shown.about.textContent = words.stopped;
        history.push(said, { role: "assistant", content: partial });
      } else {
        // It can be sent again.
        if (!partial) [mine, shown].forEach(({ made }) => made.remove());
        message.value ||= typed;
        if (!pictures.length) pictures = chosen;
      }
      if (!stopped) fail(error.code ?? "unreachable", error.code ? error.message : "");
    }
    running = null;
    showChosen();
    busy(false);
  }

  // What the user does

  async function choose(files) {
    for (const file of files) {
      if (!file.type.startsWith("image/")) continue;
      const reader = new FileReader();
      const read = new Promise((resolve, reject) => { reader.onload = resolve; reader.onerror = reject; });
      reader.readAsDataURL(file);
      await read;
      pictures.push({ name: file.name || words.picture, url: reader.result });
    }
    showChosen();
  }

  async function listModels() {
    const response = await fetch("/v1/models", { headers });
    if (!response.ok) throw await refusal(response);
    const ids = (await response.json()).data.map(({ id }) => id);
    const usual = model.value;
    model.replaceChildren(...ids.map((id) => new Option(id, id, id === usual, id === usual)));
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  message.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) { event.preventDefault(); ask(); }
  });
  message.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) { event.preventDefault(); choose(files); }
  });
  the("pictures").addEventListener("change", async ({ target }) => { await choose(target.files); target.value = ""; });
  form.addEventListener("input", showCode);
  the("stop").addEventListener("click", () => running?.abort());
  the("afresh").addEventListener("click", () => {
    [history, pictures] = [[], []];
    turns.replaceChildren();
    the("problem").replaceChildren();
    the("progress").textContent = "";
    showChosen();
    message.focus();
  });

  the("no-script").hidden = true;
  form.hidden = the("as-code").hidden = false;
  showChosen();
  listModels().catch((error) => fail(error.code ?? "unreachable", error.code ? error.message : ""));
})();
