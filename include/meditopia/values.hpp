// Plain values: times, kinds of events, reports, statistics and log records. Part of meditopia.hpp.

#ifndef MEDITOPIA_VALUES_HPP
#define MEDITOPIA_VALUES_HPP

#include <meditopia/error.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace meditopia {

/// The kinds of events that the API knows. Any other string fails with `invalid_event`.
namespace event_type {
inline constexpr std::string_view registration = "register";
inline constexpr std::string_view signin = "signin";
inline constexpr std::string_view audio = "audio";
inline constexpr std::string_view video = "video";
inline constexpr std::string_view content = "content";
}  // namespace event_type

enum class log_level : std::int32_t {
  error = MEDITOPIA_LOG_ERROR,
  warn = MEDITOPIA_LOG_WARN,
  info = MEDITOPIA_LOG_INFO,
  debug = MEDITOPIA_LOG_DEBUG,
};

/// The formats of `client::stats_text`.
enum class stats_format : std::int32_t {
  json = MEDITOPIA_FORMAT_JSON,
  prometheus = MEDITOPIA_FORMAT_PROMETHEUS,
};

/// Why an event is in a list; meditopia.h explains each reason.
enum class reason : std::int32_t {
  refused = MEDITOPIA_REASON_REFUSED,
  expired = MEDITOPIA_REASON_EXPIRED,
  in_doubt = MEDITOPIA_REASON_IN_DOUBT,
  refused_may_be_delivered = MEDITOPIA_REASON_REFUSED_MAY_BE_DELIVERED,
  set_aside = MEDITOPIA_REASON_SET_ASIDE,
  expired_may_be_delivered = MEDITOPIA_REASON_EXPIRED_MAY_BE_DELIVERED,
  pending = MEDITOPIA_REASON_PENDING,
  journalled = MEDITOPIA_REASON_JOURNALLED,
};

using time_point = std::chrono::system_clock::time_point;

namespace detail {

inline time_point from_ms(std::int64_t ms) noexcept {
  return time_point{std::chrono::duration_cast<time_point::duration>(std::chrono::milliseconds{ms})};
}

/// A time, or nullopt for 0 and -1, which mean that there is none.
inline std::optional<time_point> some_time(std::int64_t ms) noexcept {
  return ms <= 0 ? std::nullopt : std::optional<time_point>{from_ms(ms)};
}

inline std::int64_t to_ms(time_point at) noexcept {
  return std::chrono::floor<std::chrono::milliseconds>(at).time_since_epoch().count();
}

/// A timeout in milliseconds, rounded up so that no deadline comes early, and limited to the range of
/// the type.
template <class Rep, class Period>
std::uint32_t timeout_ms(std::chrono::duration<Rep, Period> timeout) noexcept {
  const double ms = std::ceil(std::chrono::duration<double, std::milli>(timeout).count());
  constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
  if (!(ms > 0)) return 0;
  return ms >= static_cast<double>(most) ? most : static_cast<std::uint32_t>(ms);
}

template <class Clock, class Duration>
std::uint32_t timeout_ms(std::chrono::time_point<Clock, Duration> deadline) noexcept {
  const auto now = Clock::now();
  return deadline <= now ? 0 : timeout_ms(deadline - now);
}

}  // namespace detail

/// When an event happened: a string in a format of meditopia_enqueue, which is borrowed, or a time of
/// the system clock.
class received_at {
 public:
  received_at(const char* text) noexcept : text_(text) {}
  received_at(std::string_view text) noexcept : text_(text) {}
  received_at(const std::string& text) noexcept : text_(text) {}
  /// Fractions of a second are cut off. The library converts the time to `utc_offset`.
  template <class Duration>
  received_at(std::chrono::time_point<std::chrono::system_clock, Duration> at) noexcept {
    const std::time_t time = std::chrono::floor<std::chrono::seconds>(time_point{at}).time_since_epoch().count();
    std::tm date{};
    gmtime_r(&time, &date);  // cannot fail: it can represent the year of any time_point
    const int length =
        std::snprintf(buffer_, sizeof buffer_, "%04d-%02d-%02dT%02d:%02d:%02dZ", date.tm_year + 1900, date.tm_mon + 1,
                      date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec);
    length_ = length < 0 ? 0 : static_cast<std::size_t>(length);
  }

  std::string_view text() const noexcept { return length_ == 0 ? text_ : std::string_view(buffer_, length_); }

 private:
  std::string_view text_;
  char buffer_[80] = {};
  std::size_t length_ = 0;
};

/// What happened to the events during a flush or a close: the fields of meditopia_report, with times as
/// time_point.
struct report : meditopia_report {
  report() noexcept : meditopia_report{} { struct_size = sizeof(meditopia_report); }
  meditopia::pause_reason paused_by() const noexcept { return static_cast<meditopia::pause_reason>(pause_reason); }
  std::optional<time_point> paused_since() const noexcept { return detail::some_time(paused_since_ms); }
  std::optional<time_point> next_probe() const noexcept { return detail::some_time(next_probe_ms); }
};

/// What an erasure has done: the fields of meditopia_erasure.
struct erasure : meditopia_erasure {
  erasure() noexcept : meditopia_erasure{} { struct_size = sizeof(meditopia_erasure); }
  /// Whether nothing of the user is left in the spool.
  bool complete() const noexcept { return is_complete != 0; }
};

/// Counters and gauges of a spool: the fields of meditopia_stats, with times as time_point.
struct stats : meditopia_stats {
  stats() noexcept : meditopia_stats{} { struct_size = sizeof(meditopia_stats); }
  meditopia::pause_reason paused_by() const noexcept { return static_cast<meditopia::pause_reason>(pause_reason); }
  std::optional<time_point> paused_since() const noexcept { return detail::some_time(paused_since_ms); }
  std::optional<time_point> next_probe() const noexcept { return detail::some_time(next_probe_ms); }
  std::optional<time_point> oldest_pending() const noexcept { return detail::some_time(oldest_pending_ms); }
  std::optional<time_point> sender_seen() const noexcept { return detail::some_time(sender_seen_ms); }
};

/// When a sender was last at work, and whether events wait.
struct sender_sight {
  /// nullopt: there never was a sender.
  std::optional<time_point> seen;
  bool waiting = false;
};

/// One record of the log.
struct log_record {
  log_level level;
  time_point time;
  std::string message;

  explicit log_record(const meditopia_log_record& raw)
      : level(static_cast<log_level>(raw.level)), time(detail::from_ms(raw.time_ms)), message(raw.message) {}
};

}  // namespace meditopia

#endif
