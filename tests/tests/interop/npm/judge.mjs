// Puts events before the validator of the npm package `nostr-enclaves` and writes its verdicts.
//
//   node judge.mjs PACKAGE/dist/index.js < {"root", "cases": [{"name", "method", "event", "now_secs", "expected"}]}
//
// The package trusts one root, a constant in its source: the DER of AWS's certificate in base64. The
// source is read, that constant replaced by `root`, and the result imported; nothing else is changed, and
// a source that does not hold the constant exactly once is an error. The clock stands at the `now_secs` of
// each case, so that certificates of a fixed time can be judged.
import { readFileSync, writeFileSync } from "node:fs";

// SHA-256 641A0321A3E244EFE456463195D606317ED7CDCC3C1756E09893F3C68F79BB5B once decoded.
const AWS_ROOT = /"MIICETCCAZagAwIBAgIRAPkxdWgbkK[A-Za-z0-9+/=]+"/g;

const input = JSON.parse(readFileSync(0, "utf8"));
const source = readFileSync(process.argv[2], "utf8");
const found = source.match(AWS_ROOT) ?? [];
if (found.length !== 1) throw new Error(`the root stands ${found.length} times in ${process.argv[2]}`);
const patched = source.replace(AWS_ROOT, JSON.stringify(input.root));

const RealDate = Date;
let now = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length === 0 ? [now] : given));
  }
  static now() {
    return now;
  }
};

const url = "data:text/javascript;base64," + Buffer.from(patched).toString("base64");
const { Validator, AWS_ROOT_CERT } = await import(url);
if (AWS_ROOT_CERT !== input.root) throw new Error("the root was not replaced");

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

async function judge({ method, event, now_secs, expected }) {
  now = now_secs * 1000;
  const options = {};
  if (expected?.pcrs) {
    options.expectedPcrs = new Map(expected.pcrs.map(([index, hex]) => [index, bytes(hex)]));
  }
  if (expected?.release) options.expectedRelease = expected.release;
  try {
    const verdict = await new Validator(options)[method](JSON.parse(event));
    // `validateEnclavedEvent` returns nothing when it is content.
    return verdict === false ? "refuse: not as expected" : "accept";
  } catch (error) {
    return `refuse: ${String(error?.message ?? error).split("\n")[0]}`;
  }
}

// It speaks on stdout while it works.
const say = console.log;
console.log = () => {};
const verdicts = [];
for (const one of input.cases) verdicts.push({ name: one.name, verdict: await judge(one) });
console.log = say;
writeFileSync(1, JSON.stringify(verdicts));
