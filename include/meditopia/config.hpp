// The options of a client. Part of meditopia.hpp.

#ifndef MEDITOPIA_CONFIG_HPP
#define MEDITOPIA_CONFIG_HPP

#include <meditopia/result.hpp>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace meditopia {

/// Options for a client, with the keys of meditopia_config_set; the last call that sets an option wins.
/// Plain memory: it opens nothing. One thread at a time may use it.
class config {
 public:
  /// A key and what `set` takes for it, for the list of options in braces: `{"lanes", 4}`.
  class option {
   public:
    template <class Value>
    option(std::string_view key, const Value& value) : key_(key), text_(text_of(key, value)) {}

   private:
    friend class config;
    std::string_view key_;
    result<std::string> text_;
  };

  /// A configuration with the default of every option.
  config() noexcept : handle_(detail::abi_fits() ? meditopia_config_new() : nullptr) {}

  /// Sets one option. `value` is a string, a bool, a whole number or a duration. A duration is rounded
  /// up to the unit that the key ends with (`_ms`, `_s`).
  template <class Value>
  result<void> try_set(std::string_view key, const Value& value) noexcept {
    const auto text = text_of(key, value);
    if (!text) return text.error();
    return set_text(key, *text);
  }

  /// Sets options from environment variables (`MEDITOPIA_SPOOL` ...). No other thread may call setenv
  /// at the same time.
  result<void> try_load_env() noexcept {
    if (!detail::abi_fits()) return detail::abi_misfit();
    return result<void>::from([&](meditopia_error* error) { return meditopia_config_load_env(handle_.get(), error); });
  }

  /// Sets options from a TOML file with the same keys.
  result<void> try_load_file(std::string_view path) noexcept {
    if (!detail::abi_fits()) return detail::abi_misfit();
    const detail::c_text file(path);
    if (!file) return file.refused("path");
    return result<void>::from(
        [&](meditopia_error* error) { return meditopia_config_load_file(handle_.get(), file.get(), error); });
  }

  /// Reads one option; if nothing has set it, its default. Secrets are refused.
  result<std::string> try_get(std::string_view key) const noexcept {
    if (!detail::abi_fits()) return detail::abi_misfit();
    const detail::c_text name(key);
    if (!name) return name.refused("key");
    failure failure;
    meditopia_text* text = nullptr;
    if (meditopia_config_get(handle_.get(), name.get(), &text, failure.raw()) < 0) return failure;
    std::string copy(meditopia_text_data(text), meditopia_text_len(text));
    meditopia_text_free(text);
    return copy;
  }

#if MEDITOPIA_EXCEPTIONS
  /// `config{{"spool", "/var/spool/myapp/meditopia"}, {"lanes", 4}, {"event_ttl_s", std::chrono::hours{1}}}`
  config(std::initializer_list<option> options) : config() {
    for (const option& one : options) {
      if (!one.text_) raise(one.text_.error());
      set_text(one.key_, *one.text_).value();
    }
  }

  template <class Value>
  config& set(std::string_view key, const Value& value) {
    try_set(key, value).value();
    return *this;
  }
  config& load_env() {
    try_load_env().value();
    return *this;
  }
  config& load_file(std::string_view path) {
    try_load_file(path).value();
    return *this;
  }
  std::string get(std::string_view key) const { return try_get(key).value(); }
#endif

  /// For functions of meditopia.h.
  const meditopia_config* raw() const noexcept { return handle_.get(); }

 private:
  struct deleter {
    void operator()(meditopia_config* config) const noexcept { meditopia_config_free(config); }
  };

  result<void> set_text(std::string_view key, std::string_view value) noexcept {
    if (!detail::abi_fits()) return detail::abi_misfit();
    const detail::c_text name(key);
    const detail::c_text text(value);
    if (!name) return name.refused("key");
    if (!text) return text.refused(key);
    return result<void>::from(
        [&](meditopia_error* error) { return meditopia_config_set(handle_.get(), name.get(), text.get(), error); });
  }

  template <class Value>
  static result<std::string> text_of(std::string_view key, const Value& value) noexcept {
    if constexpr (std::is_convertible_v<const Value&, std::string_view>) {
      return std::string(std::string_view(value));
    } else if constexpr (std::is_same_v<Value, bool>) {
      return std::string(value ? "true" : "false");
    } else if constexpr (std::is_integral_v<Value>) {
      return std::to_string(value);
    } else {
      return text_of_duration(key, value);
    }
  }

  template <class Rep, class Period>
  static result<std::string> text_of_duration(std::string_view key,
                                              std::chrono::duration<Rep, Period> value) noexcept {
    if (key.size() > 3 && key.substr(key.size() - 3) == "_ms")
      return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(value).count());
    if (key.size() > 2 && key.substr(key.size() - 2) == "_s")
      return std::to_string(std::chrono::ceil<std::chrono::seconds>(value).count());
    return failure{errc::config, std::string(key) + ": takes no duration; only keys that end with _ms or _s do"};
  }

  std::unique_ptr<meditopia_config, deleter> handle_;
};

}  // namespace meditopia

#endif
