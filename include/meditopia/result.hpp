// The results of the noexcept functions, and the check of the library's version. Part of meditopia.hpp.

#ifndef MEDITOPIA_RESULT_HPP
#define MEDITOPIA_RESULT_HPP

#include <meditopia/error.hpp>
#include <meditopia/values.hpp>

#include <dlfcn.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace meditopia {

/// A `T`, or the reason why there is none: `if (auto made = client::try_open(config)) use(*made);`
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) noexcept : value_(std::move(value)), failure_(static_cast<errc>(MEDITOPIA_OK), {}) {}
  result(const failure& failure) noexcept : failure_(failure) {}

  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  /// Only if the result is ok.
  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T&& operator*() && noexcept { return *std::move(value_); }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }
  /// Only if the result is not ok.
  const failure& error() const noexcept { return failure_; }

#if MEDITOPIA_EXCEPTIONS
  /// Returns the value, or throws the exception for the failure.
  T value() && {
    if (!ok()) raise(failure_);
    return *std::move(value_);
  }
#endif

 private:
  std::optional<T> value_;
  failure failure_;
};

/// Success, or the reason of the failure.
template <>
class [[nodiscard]] result<void> {
 public:
  /// Calls a function of meditopia.h with an error for it to fill in.
  template <class Call>
  static result from(Call call) noexcept {
    result made;
    made.ok_ = call(made.failure_.raw()) >= 0;
    return made;
  }
  result(const failure& failure) noexcept : failure_(failure), ok_(false) {}

  bool ok() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok(); }
  /// Only if the result is not ok.
  const failure& error() const noexcept { return failure_; }

#if MEDITOPIA_EXCEPTIONS
  /// Throws the exception for the failure, if there is one.
  void value() const {
    if (!ok()) raise(failure_);
  }
#endif

 private:
  result() noexcept {}  // NOLINT: `from` fills it in
  failure failure_;
  bool ok_ = true;
};

/// The result of flush and close: success or the reason of the failure, and a report in both cases.
class [[nodiscard]] flush_result : public result<void> {
 public:
  flush_result(const result<void>& outcome, const meditopia::report& report) noexcept
      : result<void>(outcome), report_(report) {}
  const meditopia::report& report() const noexcept { return report_; }

#if MEDITOPIA_EXCEPTIONS
  /// Returns the report, or throws the exception for the failure; `paused` and `timed_out` carry the
  /// report.
  meditopia::report value() const {
    if (!ok()) raise(error(), report_);
    return report_;
  }
#endif

 private:
  meditopia::report report_;
};

namespace detail {

/// A string that meditopia.h takes as a C string. A NUL byte inside would silently cut it short.
class c_text {
 public:
  explicit c_text(std::string_view text) : text_(text) {}
  explicit operator bool() const noexcept { return text_.find('\0') == std::string::npos; }
  const char* get() const noexcept { return text_.c_str(); }
  static failure refused(std::string_view argument) noexcept {
    return {errc::invalid_argument, std::string(argument) + ": contains a NUL byte"};
  }

 private:
  std::string text_;
};

/// Whether the loaded library has every function that this header calls: the same major version, and at
/// least the same minor version.
inline bool abi_fits() noexcept {
  const std::uint32_t found = meditopia_abi_version();
  return found >> 16U == MEDITOPIA_ABI_MAJOR && (found & 0xffffU) >= MEDITOPIA_ABI_MINOR;
}

inline failure abi_misfit() noexcept {
  const std::uint32_t found = meditopia_abi_version();
  Dl_info where{};
  void* const function = dlsym(RTLD_DEFAULT, "meditopia_abi_version");
  if (function == nullptr || dladdr(function, &where) == 0) where.dli_fname = nullptr;
  char text[sizeof(meditopia_error::message)];
  std::snprintf(text, sizeof text,
                "%s is libmeditopia %s with ABI %u.%u, but this program was compiled with a meditopia.h of ABI "
                "%d.%d: install the library that belongs to the header, or compile the program again",
                where.dli_fname == nullptr ? "the library that is linked in" : where.dli_fname, meditopia_version(),
                found >> 16U, found & 0xffffU, static_cast<int>(MEDITOPIA_ABI_MAJOR),
                static_cast<int>(MEDITOPIA_ABI_MINOR));
  return {errc::abi_mismatch, text};
}

}  // namespace detail

/// The version of the loaded library, such as "0.2.0".
inline std::string_view version() noexcept { return meditopia_version(); }

}  // namespace meditopia

#endif
