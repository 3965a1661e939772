// Verifies a document again and again with the npm package `nostr-enclaves` and writes the median, in
// microseconds of processor time.
//
//   node npm.mjs PACKAGE/dist/index.js < {"root", "document", "now_secs", "rounds"}
//
// The package trusts one root, a constant in its source: it is replaced by `root` (base64 of DER), and the
// clock stands at `now_secs`, so that it can verify a simulated document of a fixed time.
import { readFileSync, writeFileSync } from "node:fs";

const AWS_ROOT = /"MIICETCCAZagAwIBAgIRAPkxdWgbkK[A-Za-z0-9+/=]+"/g;

const { root, document, now_secs, rounds } = JSON.parse(readFileSync(0, "utf8"));
const source = readFileSync(process.argv[2], "utf8");
if ((source.match(AWS_ROOT) ?? []).length !== 1) throw new Error("the package has no root, or several");
const patched = source.replace(AWS_ROOT, JSON.stringify(root));

const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [now_secs * 1000] : given));
  }
  static now() {
    return now_secs * 1000;
  }
};

const url = "data:text/javascript;base64," + Buffer.from(patched).toString("base64");
const { Validator } = await import(url);
// It speaks on stdout while it works.
console.log = () => {};
const validator = new Validator();
const took = [];
for (let round = 0; round < rounds + rounds / 10; round++) {
  const start = process.cpuUsage();
  await validator.parseValidateAttestation(document);
  const { user, system } = process.cpuUsage(start);
  if (round >= rounds / 10) took.push(user + system);
}
took.sort((a, b) => a - b);
writeFileSync(1, JSON.stringify(took[Math.floor(took.length / 2)]));
