// Runs the Worker in one workerd, as wrangler.toml describes it: `node serve.mjs BUILD PORT FOLDER [NAME=VALUE]... [OBJECT:CLASS]...`.
// BUILD is the folder with the module; OBJECT:CLASS binds an object to another class than wrangler.toml does.
// `wrangler dev` would do, but puts a second workerd in front as a proxy, which costs more than the Worker itself.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions as workerOptions } from "wrangler";

const [build, port, folder, ...rest] = process.argv.slice(2);
const { workerOptions: options } = workerOptions("wrangler.toml");
const forms = [/^[A-Z]+:/, /^\w+=/];
const unknown = rest.filter((text) => !forms.some((form) => form.test(text)));
if (unknown.length > 0) throw new Error(`neither NAME=VALUE nor OBJECT:CLASS: ${unknown}`);
const [classes, vars] = forms.map((form) => rest.filter((text) => form.test(text)));
const objects = classes.map((text) => text.split(":")).map(([name, className]) => [name, { className, useSQLite: true }]);
const module = (type, name) => ({ type, path: resolve(build, name), contents: readFileSync(resolve(build, name)) });

const started = performance.now();
const runtime = new Miniflare({
  ...options,
  modulesRoot: resolve(build),
  modules: [module("ESModule", "index.js"), module("CompiledWasm", "index_bg.wasm")],
  bindings: { ...options.bindings, ...Object.fromEntries(vars.map((text) => text.split(/=(.*)/s, 2))) },
  durableObjects: { ...options.durableObjects, ...Object.fromEntries(objects) },
  // Directly, as on Cloudflare: Miniflare's own Worker in front does not pass on that a caller has hung up.
  unsafeDirectSockets: [{ host: "127.0.0.1", port: Number(port) }],
  host: "127.0.0.1",
  port: 0,
  cf: false,
  durableObjectsPersist: resolve(folder, "objects"),
  r2Persist: resolve(folder, "blobs"),
  handleRuntimeStdio: (out, err) => {
    out.pipe(process.stdout);
    err.pipe(process.stderr);
  },
});
await runtime.ready;
const url = `http://127.0.0.1:${port}`;
await (await fetch(`${url}/robots.txt`)).text();
console.log(`serving on ${url}; ${Math.round(performance.now() - started)} ms from starting workerd to its first answer`);
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => runtime.dispose().then(() => process.exit(0)));
}
