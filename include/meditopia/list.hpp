// Lists of events as input ranges, and filters that select events. Part of meditopia.hpp.

#ifndef MEDITOPIA_LIST_HPP
#define MEDITOPIA_LIST_HPP

#include <meditopia/result.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace meditopia {

/// One event of a list. It has strings of its own, so it outlives the list.
struct listed_event {
  /// Increases along a list. requeue, discard and set_aside take it.
  std::int64_t id = 0;
  meditopia::reason reason{};
  std::optional<int> http_status;
  /// When the event was enqueued; if it is in doubt, when its first request was sent.
  time_point first;
  /// When the event was rejected; if it is in doubt, when its last request was sent.
  time_point last;
  /// How many requests carried the event.
  std::uint32_t attempts = 0;
  /// The event as it is sent to the API.
  std::string json;
  /// The API's error code, such as "A_2001"; empty if there is none.
  std::string api_code;
  /// The message of the API, or of the library.
  std::string message;
};

/// Selects rejected events. A field that is not set is no condition; an event has to meet all that are
/// set.
struct filter {
  std::optional<std::string_view> partner_user_id = std::nullopt;
  std::optional<std::string_view> api_code = std::nullopt;
  std::optional<meditopia::reason> reason = std::nullopt;
  /// Only events rejected at this time or later.
  std::optional<time_point> from = std::nullopt;
  /// Only events rejected before this time.
  std::optional<time_point> until = std::nullopt;
  /// Only events with a greater id.
  std::int64_t after_id = 0;
};

/// A list of events, oldest first: an input range that reads the store page by page.
///
///   for (const meditopia::listed_event& event : client.rejected()) std::cout << event.json << '\n';
///
/// One thread at a time may use it, and it can be walked once. The event that an iterator points to is
/// valid until the next step. The list holds no transaction, so it may stay open, even after its client
/// is closed.
class event_list {
 public:
  explicit event_list(meditopia_cursor* cursor) noexcept : cursor_(cursor) {}

  /// Goes to the next event, which is valid until the next step; nullptr at the end.
  result<const listed_event*> try_next() noexcept {
    failure failure;
    meditopia_row row{};
    row.struct_size = sizeof row;
    const meditopia_status status = meditopia_cursor_next(cursor_.get(), &row, failure.raw());
    if (status < 0) return failure;
    if (status == MEDITOPIA_DONE) return static_cast<const listed_event*>(nullptr);
    event_.id = row.id;
    event_.reason = static_cast<meditopia::reason>(row.reason);
    event_.http_status = row.http_status == 0 ? std::nullopt : std::optional<int>{row.http_status};
    event_.first = detail::from_ms(row.first_ms);
    event_.last = detail::from_ms(row.last_ms);
    event_.attempts = row.attempts;
    event_.json.assign(row.event_json, row.event_json_len);
    event_.api_code = row.api_code;
    event_.message = row.message;
    return static_cast<const listed_event*>(&event_);
  }

#if MEDITOPIA_EXCEPTIONS
  const listed_event* next() { return try_next().value(); }

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = listed_event;
    using difference_type = std::ptrdiff_t;
    using pointer = const listed_event*;
    using reference = const listed_event&;

    iterator() noexcept = default;
    explicit iterator(event_list* list) : list_(list), event_(list->next()) {}
    reference operator*() const noexcept { return *event_; }
    pointer operator->() const noexcept { return event_; }
    iterator& operator++() {
      event_ = list_->next();
      return *this;
    }
    /// The result of `i++`: a copy of the event before the step.
    class before {
     public:
      explicit before(const listed_event& event) : event_(event) {}
      const listed_event& operator*() const noexcept { return event_; }

     private:
      listed_event event_;
    };
    before operator++(int) {
      before was(*event_);
      ++*this;
      return was;
    }
    friend bool operator==(const iterator& one, const iterator& other) noexcept {
      return one.event_ == other.event_;
    }
    friend bool operator!=(const iterator& one, const iterator& other) noexcept { return !(one == other); }

   private:
    event_list* list_ = nullptr;
    const listed_event* event_ = nullptr;
  };

  /// Steps to the first event.
  iterator begin() { return iterator(this); }
  iterator end() const noexcept { return {}; }
#endif

 private:
  struct deleter {
    void operator()(meditopia_cursor* cursor) const noexcept { meditopia_cursor_free(cursor); }
  };
  std::unique_ptr<meditopia_cursor, deleter> cursor_;
  listed_event event_;
};

namespace detail {

/// A filter for meditopia.h, with C strings of its own.
class c_filter {
 public:
  explicit c_filter(const filter& wanted)
      : user_(wanted.partner_user_id.value_or(std::string_view{})), code_(wanted.api_code.value_or(std::string_view{})) {
    raw_.struct_size = sizeof raw_;
    raw_.reason = wanted.reason ? static_cast<std::int32_t>(*wanted.reason) : 0;
    raw_.partner_user_id = wanted.partner_user_id ? user_.get() : nullptr;
    raw_.api_code = wanted.api_code ? code_.get() : nullptr;
    raw_.from_ms = wanted.from ? to_ms(*wanted.from) : 0;
    raw_.until_ms = wanted.until ? to_ms(*wanted.until) : 0;
    // 0 means no limit in meditopia.h. No event was rejected before 1970, so -1 selects the same events.
    if (wanted.until && raw_.until_ms == 0) raw_.until_ms = -1;
    raw_.after_id = wanted.after_id;
  }
  c_filter(const c_filter&) = delete;
  c_filter& operator=(const c_filter&) = delete;

  explicit operator bool() const noexcept { return user_ && code_; }
  failure refused() const noexcept { return c_text::refused(user_ ? "api_code" : "partner_user_id"); }
  const meditopia_filter* get() const noexcept { return &raw_; }

 private:
  c_text user_;
  c_text code_;
  meditopia_filter raw_{};
};

}  // namespace detail

}  // namespace meditopia

#endif
