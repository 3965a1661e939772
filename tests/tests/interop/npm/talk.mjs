// Talks to a server as others do: direct messages and notes by `nostr-tools`, and NIP-98 tokens for `curl`.
//
//   node talk.mjs DIRECTORY_OF_NODE_MODULES RELAY SERVICE
//
// Takes its secret key as the first line, where no list of processes shows it; then one JSON per line, and answers
// each by one:
//
//   {"do": "say", "channel": "nip17" | "nip17_ephemeral" | "nip04" | "note", "text", "copies"?, "work_bits"?}
//       → {"answers": [{"channel", "text"}]}: all that came until nothing came for `quiet_ms`
//   {"do": "token", "url", "method", "body"?} → {"token"}
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [dir, relayUrl, service] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const secretHex = (await lines.next()).value;
// Packages are found from where a program lies, and this one does not lie beside them.
const load = (path) => import(pathToFileURL(`${dir}/node_modules/${path}`).href);
const tools = (name) => load(`nostr-tools/lib/esm/${name}.js`);
const { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } = await tools("pure");
const [nip04, nip13, nip17, nip44, nip59, nip98] = await Promise.all(
  ["nip04", "nip13", "nip17", "nip44", "nip59", "nip98"].map(tools),
);
const { Relay, useWebSocketImplementation } = await tools("relay");
useWebSocketImplementation((await load("ws/wrapper.mjs")).WebSocket);

const EPHEMERAL_WRAP = 21059;
const secret = Uint8Array.from(Buffer.from(secretHex, "hex"));
const pubkey = getPublicKey(secret);
const now = () => Math.floor(Date.now() / 1000);
const relay = await Relay.connect(relayUrl);

const unseal = (wrap) => {
  const open = (event) => JSON.parse(nip44.decrypt(event.content, nip44.getConversationKey(secret, event.pubkey)));
  const seal = open(wrap);
  const rumor = open(seal);
  if (!verifyEvent(seal) || seal.kind !== 13 || rumor.pubkey !== seal.pubkey) throw new Error("a bad seal");
  if (rumor.pubkey !== service) throw new Error(`a message from ${rumor.pubkey}`);
  return rumor.content;
};

// What came and was not asked for yet.
const came = [];
let heard = Date.now();
const seen = new Set();
const hear = (event) => {
  if (seen.has(event.id)) return;
  seen.add(event.id);
  heard = Date.now();
  if (event.kind === 1059) came.push({ channel: "nip17", text: unseal(event) });
  else if (event.kind === EPHEMERAL_WRAP) came.push({ channel: "nip17_ephemeral", text: unseal(event) });
  else if (event.pubkey === service && event.kind === 1) came.push({ channel: "note", text: event.content });
  else if (event.pubkey === service) came.push({ channel: "nip04", text: nip04.decrypt(secret, service, event.content) });
};
await new Promise((ready) => {
  relay.subscribe([{ kinds: [1, 4, 1059, EPHEMERAL_WRAP], "#p": [pubkey] }], { onevent: hear, oneose: ready });
});

const ephemeral = (text) => {
  const rumor = nip59.createRumor({ kind: 14, tags: [["p", service]], content: text }, secret);
  const seal = nip59.createSeal(rumor, secret, service);
  const once = generateSecretKey();
  const content = nip44.encrypt(JSON.stringify(seal), nip44.getConversationKey(once, service));
  const wrap = { kind: EPHEMERAL_WRAP, created_at: now(), tags: [["p", service]], content };
  return finalizeEvent(wrap, once);
};
const signed = (kind, content, work_bits) => {
  const event = { kind, created_at: now(), tags: [["p", service]], content, pubkey };
  return finalizeEvent(work_bits ? nip13.minePow(event, work_bits) : event, secret);
};
const written = {
  nip17: (text) => nip17.wrapEvent(secret, { publicKey: service }, text),
  nip17_ephemeral: ephemeral,
  nip04: (text, work_bits) => signed(4, nip04.encrypt(secret, service, text), work_bits),
  note: (text) => signed(1, text),
};

const tasks = {
  // Whoever waits for silence waits long enough for a server that thinks.
  async say({ channel, text, work_bits, copies = 1, quiet_ms = 1500, first_ms = 20000 }) {
    const event = written[channel](text, work_bits);
    came.length = 0;
    const asked = Date.now();
    for (let copy = 0; copy < copies; copy++) await relay.publish(event).catch(() => {});
    const wait = () => new Promise((done) => setTimeout(done, 20));
    while (came.length === 0 && Date.now() - asked < first_ms) await wait();
    while (came.length > 0 && Date.now() - heard < quiet_ms) await wait();
    return { answers: came.splice(0) };
  },
  async token({ url, method, body }) {
    const sign = (event) => finalizeEvent(event, secret);
    return { token: await nip98.getToken(url, method, sign, true, body) };
  },
};

for await (const line of lines) {
  const task = JSON.parse(line);
  console.log(JSON.stringify(await tasks[task.do](task)));
}
relay.close();
