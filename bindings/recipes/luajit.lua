-- LuaJIT: luajit luajit.lua LIBRARY meditopia_ffi.h
--
-- ffi.cdef reads meditopia_ffi.h as it is. Never inside a coroutine that must not wait: flush and close do.
-- Options come from the environment: MEDITOPIA_SPOOL ...
local ffi = require("ffi")
local header = assert(io.open(arg[2])):read("*a")
ffi.cdef(header)
local lib = ffi.load(arg[1] or "libmeditopia.so.0")

local abi = lib.meditopia_abi_version()
assert(bit.rshift(abi, 16) == lib.MEDITOPIA_ABI_MAJOR and bit.band(abi, 0xffff) >= lib.MEDITOPIA_ABI_MINOR,
  "libmeditopia does not fit " .. arg[2])

local failure = ffi.new("meditopia_error")
-- Calls a function with the error that it fills in; raises what it says.
local function call(name, ...)
  local values = { ... }
  values[select("#", ...) + 1] = failure
  if lib["meditopia_" .. name](unpack(values, 1, select("#", ...) + 1)) < 0 then
    error(ffi.string(failure.message), 2)
  end
end

local config = ffi.gc(lib.meditopia_config_new(), lib.meditopia_config_free)
call("config_load_env", config)
local out = ffi.new("meditopia_client *[1]")
call("client_open", config, out)
local client = ffi.gc(out[0], lib.meditopia_client_free)

call("enqueue", client, "token-1", "user-1", "video", "from LuaJIT", nil)
call("enqueue", client, "token-1", "user-1", "signin", nil, "2024-08-06 15:04:05")
print(select(2, pcall(call, "enqueue", client, "token-1", "user-1", "yoga", nil, nil)))
local report = ffi.new("meditopia_report", { struct_size = ffi.sizeof("meditopia_report") })
call("client_close", client, 20000, report)
print(tonumber(report.delivered) .. " delivered")
