// Lets Alby's `@getalby/sdk` and `@getalby/lightning-tools` do, line by line, what a test says.
//
//   node wallet.mjs FOLDER
//
// FOLDER holds `node_modules`. A line of standard input is {"id", "client", "method", "args"}; its answer
// is {"id", "ok"} or {"id", "error": {"name", "code", "message"}}, and each notification that a client
// hears is {"client", "heard"}. Nothing of the packages is changed. A client is spoken to by its methods,
// and by these besides:
//
//   open       {url, encryption}  makes a client; an encryption other than the preferred one is set in
//                                 its private field, for want of an option
//   subscribe  {types}            its notifications are written from then on
//   raw        {method, params, timeouts}
//                                 a request that the package has no method for, or takes no timeouts with
//   address    {address, ...}     lightning-tools: the address's answer, then one invoice
//   paid       {pr, verify}       lightning-tools: asks the verification URL
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const modules = join(process.argv[2], "node_modules");
const require = createRequire(join(modules, "x"));
// Node before 22 has no WebSocket of its own.
globalThis.WebSocket ??= require("ws").WebSocket;
const { finalizeEvent, getPublicKey } = require("nostr-tools");
const { NWCClient } = await import(pathToFileURL(join(modules, "@getalby/sdk/dist/esm/nwc.js")));
const { LightningAddress, Invoice } = await import(
  pathToFileURL(join(modules, "@getalby/lightning-tools/dist/esm/index.js"))
);

const clients = new Map();
const write = (value) => process.stdout.write(JSON.stringify(value) + "\n");
// The package reports every refusal here; the test reads it from the answer.
console.error = () => {};

// The package asks over https only, and takes no host with a port; development has neither name nor
// certificate.
class PlainAddress extends LightningAddress {
  parse() {
    [this.username, this.domain] = this.address.split("@");
  }
  lnurlpUrl() {
    return super.lnurlpUrl().replace("https:", "http:");
  }
  keysendUrl() {
    return super.keysendUrl().replace("https:", "http:");
  }
  nostrUrl() {
    return super.nostrUrl().replace("https:", "http:");
  }
}

async function address({ address, satoshi, comment, zap }) {
  const found = new PlainAddress(address, { proxy: false });
  await found.fetch();
  if (!found.lnurlpData) throw new Error("the address does not answer");
  let invoice;
  if (zap) {
    // The package takes the payee's key from NIP-05, which this server does not speak.
    found.nostrPubkey = zap.payee;
    const secret = Uint8Array.from(Buffer.from(zap.secret, "hex"));
    const signer = {
      getPublicKey: async () => getPublicKey(secret),
      signEvent: async (event) => finalizeEvent(event, secret),
    };
    invoice = await found.zapInvoice({ satoshi, comment, relays: zap.relays }, { nostr: signer });
  } else {
    invoice = await found.requestInvoice({ satoshi, comment });
  }
  const { domain, username, lnurlpData } = found;
  const { paymentRequest, paymentHash, verify } = invoice;
  return { domain, username, lnurlpData, paymentRequest, paymentHash, verify, satoshi: invoice.satoshi };
}

async function act({ client: name, method, args }) {
  if (method === "open") {
    const client = new NWCClient({ nostrWalletConnectUrl: args.url });
    if (args.encryption) client._encryptionType = args.encryption;
    clients.set(name, client);
    return client.lud16 ?? null;
  }
  if (method === "address") return address(args);
  if (method === "paid") {
    const invoice = new Invoice(args);
    return { paid: await invoice.isPaid(), preimage: invoice.preimage ?? null };
  }
  const client = clients.get(name);
  if (method === "subscribe") {
    await client.subscribeNotifications((heard) => write({ client: name, heard }), args.types);
    return null;
  }
  if (method === "raw") return client.executeNip47Request(args.method, args.params, () => true, args.timeouts);
  return client[method](args);
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  // Not awaited: a payment may wait for what a later line does.
  act(request).then(
    (ok) => write({ id: request.id, ok: ok ?? null }),
    (error) =>
      write({
        id: request.id,
        error: { name: error?.constructor?.name, code: error?.code ?? null, message: String(error?.message) },
      }),
  );
}
process.exit(0);
