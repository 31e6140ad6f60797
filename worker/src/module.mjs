// What workerd loads: the entrypoint and the objects, each in front of its Rust half. `cargo xtask worker build` bundles
// this with what wasm-bindgen made, which is "bindings" here.
import * as bindings from "bindings";

Error.stackTraceLimit = 100;
const module = bindings.__worker_init_state();

// After a trap nobody knows what state the module's memory is in: what is under way fails, since what would answer it is
// gone, and the next call begins with a new module, for which each object makes its Rust half anew.
const underway = new Set();
const failAll = (error) => {
  for (const fail of underway) fail(error);
  underway.clear();
};
const trapped = (error) => {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  module.criticalError = true;
  failAll(error);
};
addEventListener("error", (event) => trapped(event.error));

const revive = () => {
  if (!module.criticalError) return;
  console.error("the module trapped: it starts anew");
  failAll(new Error("the module was started anew"));
  bindings.__wbg_reset_state();
  module.criticalError = false;
};

const guarded = async (call) => {
  revive();
  let fail;
  const failure = new Promise((_, reject) => {
    fail = reject;
  });
  underway.add(fail);
  try {
    return await Promise.race([call(), failure]);
  } catch (error) {
    // One that was failed by others' trap comes late, maybe in the life after it.
    if (underway.has(fail)) trapped(error);
    throw error;
  } finally {
    underway.delete(fail);
  }
};

const HANDLERS = ["fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"];

export const object = (Rust) => {
  class Front {
    #state;
    #env;
    #rust;
    #instance;

    constructor(state, env) {
      this.#state = state;
      this.#env = env;
      revive();
      this.rust();
    }

    rust() {
      if (this.#instance !== module.instanceId) {
        try {
          this.#rust = new Rust(this.#state, this.#env);
        } catch (error) {
          trapped(error);
          throw error;
        }
        this.#instance = module.instanceId;
      }
      return this.#rust;
    }
  }
  for (const handler of HANDLERS.filter((handler) => handler in Rust.prototype)) {
    Front.prototype[handler] = function (...given) {
      return guarded(() => this.rust()[handler](...given));
    };
  }
  return Front;
};

export const AgentObject = object(bindings.AgentObject);
export const DirectoryObject = object(bindings.DirectoryObject);
export const SequencerObject = object(bindings.SequencerObject);

export default {
  fetch: (request, env, context) => guarded(() => bindings.fetch(request, env, context)),
};
