// Errors, as a value (failure) and as exceptions. Part of meditopia.hpp.

#ifndef MEDITOPIA_ERROR_HPP
#define MEDITOPIA_ERROR_HPP

#include <meditopia.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#if defined(__cpp_exceptions)
#define MEDITOPIA_EXCEPTIONS 1
#else
#define MEDITOPIA_EXCEPTIONS 0
#endif

namespace meditopia {

/// The kinds of failure: `MEDITOPIA_ERROR_...` of meditopia.h, and one that only this header finds. A
/// later library may have more kinds; treat one that you do not know like `internal`.
enum class errc : std::int32_t {
  invalid_argument = MEDITOPIA_ERROR_INVALID_ARGUMENT,
  invalid_event = MEDITOPIA_ERROR_INVALID_EVENT,
  config = MEDITOPIA_ERROR_CONFIG,
  conflict = MEDITOPIA_ERROR_CONFLICT,
  spool_mismatch = MEDITOPIA_ERROR_SPOOL_MISMATCH,
  spool_full = MEDITOPIA_ERROR_SPOOL_FULL,
  io = MEDITOPIA_ERROR_IO,
  paused = MEDITOPIA_ERROR_PAUSED,
  timeout = MEDITOPIA_ERROR_TIMEOUT,
  closed = MEDITOPIA_ERROR_CLOSED,
  store = MEDITOPIA_ERROR_STORE,
  internal = MEDITOPIA_ERROR_INTERNAL,
  /// The loaded library does not fit this header.
  abi_mismatch = -1000,
};

/// Why delivery is paused; `none` if it is not.
enum class pause_reason : std::int32_t {
  none = MEDITOPIA_PAUSE_NONE,
  auth = MEDITOPIA_PAUSE_AUTH,
  ip = MEDITOPIA_PAUSE_IP,
  misrouted = MEDITOPIA_PAUSE_MISROUTED,
  mass_rejection = MEDITOPIA_PAUSE_MASS_REJECTION,
  server_error = MEDITOPIA_PAUSE_SERVER_ERROR,
  store_damaged = MEDITOPIA_PAUSE_STORE_DAMAGED,
  hold = MEDITOPIA_PAUSE_HOLD,
};

/// What went wrong in a call. Plain memory: it owns nothing, and copying it cannot fail.
class failure {
 public:
  errc code() const noexcept { return static_cast<errc>(raw_.status); }
  /// What happened, to what, and what to do next. Never contains a bearer token.
  std::string_view message() const noexcept { return raw_.message; }
  /// The name in meditopia.h, such as "MEDITOPIA_ERROR_PAUSED".
  const char* name() const noexcept {
    return code() == errc::abi_mismatch ? "ABI_MISMATCH" : meditopia_status_name(raw_.status);
  }
  /// Whether the same call may succeed later without any change by the caller.
  bool retryable() const noexcept { return raw_.retryable != 0; }
  /// HTTP status of the API's answer that led to the failure.
  std::optional<int> http_status() const noexcept {
    return raw_.http_status == 0 ? std::nullopt : std::optional<int>{raw_.http_status};
  }
  /// The API's error code, such as "A_1002"; empty if there is none.
  std::string_view api_code() const noexcept { return raw_.api_code; }
  /// Why delivery is paused; `none` unless the code is `errc::paused`.
  pause_reason paused_by() const noexcept { return static_cast<pause_reason>(raw_.pause_reason); }
  /// Which event of the call the failure is about, counted from 0.
  std::optional<std::size_t> event_index() const noexcept {
    return raw_.event_index < 0 ? std::nullopt
                                : std::optional<std::size_t>{static_cast<std::size_t>(raw_.event_index)};
  }
  /// For the functions of meditopia.h, which fill it in.
  meditopia_error* raw() noexcept { return &raw_; }
  const meditopia_error& raw() const noexcept { return raw_; }

  /// Not initialised: every call fills it in, and clearing it each time would take longer than the
  /// call.
  failure() noexcept {}  // NOLINT
  /// A failure found before the library was called.
  failure(errc code, std::string_view message) noexcept : raw_{} {
    raw_.status = static_cast<std::int32_t>(code);
    raw_.event_index = -1;
    raw_.message[message.copy(raw_.message, sizeof raw_.message - 1)] = '\0';
  }

 private:
  meditopia_error raw_;
};

#if MEDITOPIA_EXCEPTIONS

/// The root of all exceptions of this header. `what()` is the failure's message.
class error : public std::runtime_error {
 public:
  explicit error(const meditopia::failure& failure)
      : std::runtime_error(std::string(failure.message())), failure_(failure) {}
  const meditopia::failure& failure() const noexcept { return failure_; }
  errc code() const noexcept { return failure_.code(); }
  bool retryable() const noexcept { return failure_.retryable(); }

 private:
  meditopia::failure failure_;
};

/// An argument is not UTF-8, contains a NUL byte that is not allowed, or is out of range: a mistake in
/// the calling code.
class invalid_argument : public error { using error::error; };
/// An event breaks a rule of the API; nothing was queued. The message names the field.
class invalid_event : public error { using error::error; };
/// The configuration is incomplete or contradictory, or a key or value is not known.
class config_error : public error { using error::error; };
/// This process has the spool open with another value of an option.
class conflict : public error { using error::error; };
/// The spool belongs to another user, endpoint or account, or was copied or moved.
class spool_mismatch : public error { using error::error; };
/// The disk is full, or the spool has reached `max_spool_bytes`. The events of the call were not
/// queued.
class spool_full : public error { using error::error; };
/// The operating system refused a read or a write. The outcome of an enqueue that fails with it is
/// unknown.
class io_error : public error { using error::error; };
/// The client was closed before the call.
class closed : public error { using error::error; };
/// The store is damaged, or a newer version of the library wrote it.
class store_error : public error { using error::error; };
/// A defect in the library.
class internal_error : public error { using error::error; };
/// The loaded library does not fit the header that this program was compiled with.
class abi_mismatch : public error { using error::error; };

/// Some events were not delivered; all of them are kept. After flush and close, `report()` says what
/// happened to the events.
class incomplete : public error {
 public:
  explicit incomplete(const meditopia::failure& failure, const meditopia_report& report = {})
      : error(failure), report_(report) {}
  const meditopia_report& report() const noexcept { return report_; }

 private:
  meditopia_report report_;
};
/// Delivery is paused; `failure().paused_by()` says why. Enqueue still works.
class paused : public incomplete { using incomplete::incomplete; };
/// The deadline passed first; delivery goes on.
class timed_out : public incomplete { using incomplete::incomplete; };

/// Throws the exception for `failure`.
[[noreturn]] inline void raise(const failure& failure, const meditopia_report& report = {}) {
  switch (failure.code()) {
    case errc::invalid_argument: throw invalid_argument(failure);
    case errc::invalid_event: throw invalid_event(failure);
    case errc::config: throw config_error(failure);
    case errc::conflict: throw conflict(failure);
    case errc::spool_mismatch: throw spool_mismatch(failure);
    case errc::spool_full: throw spool_full(failure);
    case errc::io: throw io_error(failure);
    case errc::paused: throw paused(failure, report);
    case errc::timeout: throw timed_out(failure, report);
    case errc::closed: throw closed(failure);
    case errc::store: throw store_error(failure);
    case errc::abi_mismatch: throw abi_mismatch(failure);
    case errc::internal: break;
  }
  throw internal_error(failure);
}

#endif

}  // namespace meditopia

#endif
