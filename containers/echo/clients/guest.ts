// The guest API for containers that run Node.js: one file, no dependencies.
//
//   const guest = new Guest(process.env.ENCLAVED_SOCKET!);
//   const proof = await guest.attest(sha256Hex);
//
// Shapes and errors: docs/guest-api.md.

import { request } from "node:http";

/** Longer than the server takes over the slowest of its methods, a fetch. */
const ANSWER_WAIT_MS = 60_000;
/** Longest answer, in bytes: a fetched megabyte in base64, with its proof. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** A Nostr event (NIP-01). */
export interface NostrEvent {
  id: string;
  pubkey: string;
  created_at: number;
  kind: number;
  tags: string[][];
  content: string;
  sig: string;
}

/** A statement with everything that it takes to check it offline. */
export interface StatementProof {
  statement: NostrEvent;
  certificate: NostrEvent;
  root: NostrEvent;
  path: { index: number; size: number; siblings: string[] };
  repo: string;
  releases?: NostrEvent[];
}

/** What is to be fetched. */
export interface FetchRequest {
  url: string;
  method?: string;
  headers?: [string, string][];
  body?: Uint8Array;
  response_bytes_max?: number;
  timeout_secs?: number;
}

/** What was fetched, and the server's statement that the host answered it. */
export interface Fetched {
  status: number;
  headers: [string, string][];
  body: Uint8Array;
  request_salt: string;
  proof: StatementProof;
}

/** What a container may know of itself. */
export interface GuestInfo {
  pubkey: string;
  service_pubkey: string;
  name?: string;
  owner?: string;
  image: string;
  manifest_sha256?: string;
  units: number;
  price_msat_per_period: number;
  period_secs: number;
  balance_msat: number;
  paid_until?: number;
  started_at?: number;
  endpoints: { container_port: number; host: string; port: number }[];
  limits_not_enforced: string[];
}

/** The server refused; `code` is for programs. */
export class GuestError extends Error {
  readonly code: string;
  readonly status: number;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "GuestError";
    this.code = code;
    this.status = status;
  }
}

/** A client of the socket at `socketPath`. Each call has a connection of its own, so that a server that
 * restarts strands nothing. */
export class Guest {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  info(): Promise<GuestInfo> {
    return this.call<GuestInfo>("info");
  }

  manifest(): Promise<{ manifest: Record<string, unknown>; manifest_sha256: string }> {
    return this.call("manifest");
  }

  createCertificate(pubkey: string): Promise<{ root: NostrEvent; certs: NostrEvent[] }> {
    return this.call("create_certificate", { pubkey });
  }

  async setInfo(pubkey: string): Promise<void> {
    await this.call("set_info", { info: { pubkey } });
  }

  async log(message: string): Promise<void> {
    await this.call("log", { message });
  }

  attest(digest: string): Promise<StatementProof> {
    return this.call<StatementProof>("attest", { digest });
  }

  async attestedFetch(wanted: FetchRequest): Promise<Fetched> {
    const body = wanted.body && Buffer.from(wanted.body).toString("base64");
    const answer = await this.call<Omit<Fetched, "body"> & { body: string }>("attested_fetch", { ...wanted, body });
    return { ...answer, body: Buffer.from(answer.body, "base64") };
  }

  async deriveKey(path: string): Promise<Uint8Array> {
    const { key } = await this.call<{ key: string }>("derive_key", { path });
    return Buffer.from(key, "hex");
  }

  async wallet(): Promise<string> {
    const { nwc } = await this.call<{ nwc: string }>("wallet");
    return nwc;
  }

  /** Calls any method. */
  async call<T>(method: string, params: object = {}): Promise<T> {
    const { status, text } = await this.#post(`/v1/${method}`, JSON.stringify(params));
    const value = JSON.parse(text);
    if (status !== 200) {
      const { code, message } = value.error ?? { code: "error", message: text };
      throw new GuestError(status, code, message);
    }
    return value as T;
  }

  #post(path: string, body: string): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const options = { socketPath: this.#socketPath, path, method: "POST", headers, agent: false } as const;
      const asking = request(options, (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX) {
            asking.destroy(new Error(`the answer has more than ${ANSWER_BYTES_MAX} bytes`));
          } else {
            chunks.push(chunk);
          }
        });
        response.on("error", reject);
        response.on("end", () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") });
        });
      });
      const late = () => asking.destroy(new Error(`no answer within ${ANSWER_WAIT_MS / 1000} s`));
      asking.setTimeout(ANSWER_WAIT_MS, late);
      asking.on("error", reject);
      asking.end(body);
    });
  }
}
