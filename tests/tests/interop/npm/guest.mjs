// A container's program with the client that `containers/echo/clients/guest.ts` was compiled to.
//
//   node guest.mjs GUEST.js SOCKET APP_KEY → one JSON
import { pathToFileURL } from "node:url";

const [compiled, socket, app] = process.argv.slice(2);
const { Guest, GuestError } = await import(pathToFileURL(compiled).href);
const guest = new Guest(socket);
const refusal = (asked) =>
  asked.then(
    () => null,
    (error) => ({ known: error instanceof GuestError, code: error.code, status: error.status }),
  );
const hex = (bytes) => Buffer.from(bytes).toString("hex");

await guest.log("hello from typescript");
await guest.setInfo(app);
const said = {
  info: await guest.info(),
  manifest: await guest.manifest(),
  proof: await guest.attest("5a".repeat(32)),
  certificate: await guest.createCertificate(app),
  keys: [hex(await guest.deriveKey("disk")), hex(await guest.deriveKey("disk")), hex(await guest.deriveKey("mail"))],
  wallet: await guest.wallet(),
  unknown: await refusal(guest.call("reboot")),
  plain: await refusal(guest.attestedFetch({ url: "http://example.com/" })),
  wrong: await refusal(guest.attest("5a")),
};
console.log(JSON.stringify(said));
