// Node.js with koffi (npm install koffi): node node.js LIBRARY
//
// Enqueue costs a few microseconds and is called directly. What waits (close, flush) runs on a thread of
// koffi's, by `.async`, and the event loop goes on. Options come from the environment: MEDITOPIA_SPOOL ...
const koffi = require("koffi");
const { promisify } = require("node:util");

const library = koffi.load(process.argv[2] ?? "libmeditopia.so.0");
const [ABI_MAJOR, ABI_MINOR] = [0, 1]; // of the meditopia.h that this file was written with
const abi = library.func("uint32_t meditopia_abi_version()")();
if (abi >>> 16 !== ABI_MAJOR || (abi & 0xffff) < ABI_MINOR) throw new Error(`libmeditopia has ABI ${abi >>> 16}.${abi & 0xffff}`);

koffi.struct("meditopia_error", {
  status: "int32_t", http_status: "int32_t", retryable: "int32_t", pause_reason: "int32_t", event_index: "int64_t",
  api_code: koffi.array("char", 32, "String"), message: koffi.array("char", 512, "String"), reserved: koffi.array("uint64_t", 9),
});
const newConfig = library.func("void *meditopia_config_new()");
const loadEnv = library.func("int meditopia_config_load_env(void *config, _Out_ meditopia_error *error)");
const open = library.func("int meditopia_client_open(void *config, _Out_ void **client, _Out_ meditopia_error *error)");
const enqueue = library.func(
  "int meditopia_enqueue(void *client, str token, str user, str event, str value, str at, _Out_ meditopia_error *error)");
const close = library.func("int meditopia_client_close(void *client, uint32_t ms, void *report, _Out_ meditopia_error *error)");
const free = library.func("void meditopia_client_free(void *client)");

function checked(status, error) {
  if (status < 0) throw Object.assign(new Error(error.message), { status });
}
const call = (f, ...args) => { const error = {}; checked(f(...args, error), error); };

(async () => {
  const [config, out, error] = [newConfig(), [null], {}];
  call(loadEnv, config);
  call(open, config, out);
  call(enqueue, out[0], "token-1", "user-1", "video", "from Node", null);
  call(enqueue, out[0], "token-1", "user-1", "signin", null, "2024-08-06 15:04:05");
  try { call(enqueue, out[0], "token-1", "user-1", "yoga", null, null); } catch (bad) { console.log(bad.message); }
  checked(await promisify(close.async)(out[0], 20000, null, error), error);
  free(out[0]);
})();
