// The reference's WebSocket, by `ws`.
//
//   node websocket.mjs DIRECTORY_OF_NODE_MODULES URL TOKEN → {"refused", "answers"}
import { pathToFileURL } from "node:url";

const [dir, url, token] = process.argv.slice(2);
const { WebSocket } = await import(pathToFileURL(`${dir}/node_modules/ws/wrapper.mjs`).href);

// Without the token there is no connection.
const refused = await new Promise((done) => {
  const socket = new WebSocket(url, { headers: { token: "0".repeat(64) } });
  socket.on("unexpected-response", (_, response) => done(response.statusCode));
  socket.on("open", () => done(101));
  socket.on("error", () => {});
});

const socket = new WebSocket(url, { headers: { token } });
await new Promise((opened, failed) => socket.on("open", opened).on("error", failed));
const ask = (message) =>
  new Promise((done) => {
    socket.once("message", (text) => done(JSON.parse(text)));
    socket.send(message);
  });
const answers = [
  await ask(JSON.stringify({ id: "1", method: "get_container_info", params: {} })),
  await ask(JSON.stringify({ id: "2", method: "log", params: { message: "hello from ws" } })),
  await ask(JSON.stringify({ id: "3", method: "reboot", params: {} })),
  await ask("not json"),
];
socket.close();
console.log(JSON.stringify({ refused, answers }));
