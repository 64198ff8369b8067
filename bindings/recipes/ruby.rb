# Ruby with fiddle, which comes with it: ruby ruby.rb LIBRARY
#
# Fiddle releases the lock of the interpreter in a call, so other threads run while flush and close wait.
# Options come from the environment: MEDITOPIA_SPOOL ...
require "fiddle/import"

module Meditopia
  extend Fiddle::Importer
  dlload ARGV[0] || "libmeditopia.so.0"
  ABI_MAJOR, ABI_MINOR = 0, 1 # of the meditopia.h that this file was written with
  Failure = struct ["int status", "int http_status", "int retryable", "int pause_reason", "int64_t event_index",
                    "char api_code[32]", "char message[512]", "uint64_t reserved[9]"]
  extern "unsigned int meditopia_abi_version()"
  extern "void *meditopia_config_new()"
  extern "void meditopia_config_free(void *)"
  extern "int meditopia_config_load_env(void *, void *)"
  extern "int meditopia_client_open(void *, void *, void *)"
  extern "int meditopia_enqueue(void *, const char *, const char *, const char *, const char *, const char *, void *)"
  extern "int meditopia_client_close(void *, unsigned int, void *, void *)"
  extern "void meditopia_client_free(void *)"
  abi = meditopia_abi_version
  raise LoadError, "libmeditopia has ABI #{abi >> 16}.#{abi & 0xffff}" unless abi >> 16 == ABI_MAJOR && abi & 0xffff >= ABI_MINOR

  # Calls a function with the error that it fills in; raises what it says.
  def self.call(name, *arguments)
    failure = Failure.malloc(Fiddle::RUBY_FREE)
    raise failure.message.pack("c*").unpack1("Z*") if send("meditopia_#{name}", *arguments, failure) < 0
  end
end

config = Meditopia.meditopia_config_new
Meditopia.call(:config_load_env, config)
out = Fiddle::Pointer.malloc(Fiddle::SIZEOF_VOIDP, Fiddle::RUBY_FREE)
Meditopia.call(:client_open, config, out)
client = out.ptr
Meditopia.call(:enqueue, client, "token-1", "user-1", "video", "from Ruby", nil)
Meditopia.call(:enqueue, client, "token-1", "user-1", "signin", nil, "2024-08-06 15:04:05")
begin Meditopia.call(:enqueue, client, "token-1", "user-1", "yoga", nil, nil) rescue puts $!.message end
Meditopia.call(:client_close, client, 20_000, nil)
Meditopia.meditopia_client_free(client)
