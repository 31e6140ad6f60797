// Runs the Worker in one workerd, as wrangler's configuration describes it: `node serve.mjs CONFIG PORT FOLDER [NAME=VALUE...]`.
// `wrangler dev` would do, but puts a second workerd in front as a proxy, which costs more than the Worker itself.
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions as workerOptions } from "wrangler";

const [config, port, folder, ...vars] = process.argv.slice(2);
const { main, workerOptions: options } = workerOptions(config);
const build = dirname(resolve(main));
const module = (type, name) => ({ type, path: resolve(build, name), contents: readFileSync(resolve(build, name)) });

const started = performance.now();
const runtime = new Miniflare({
  ...options,
  modulesRoot: build,
  modules: [module("ESModule", "index.js"), module("CompiledWasm", "index_bg.wasm")],
  bindings: { ...options.bindings, ...Object.fromEntries(vars.map((text) => text.split(/=(.*)/s, 2))) },
  host: "127.0.0.1",
  port: Number(port),
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
