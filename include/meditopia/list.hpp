// Lists of events and receipts as input ranges, and filters that select them. Part of meditopia.hpp.

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

/// One request that the API accepted. It has a string of its own, so it outlives the list.
struct receipt {
  /// Increases along a list.
  std::int64_t id = 0;
  int http_status = 0;
  /// When the answer came.
  time_point time;
  /// How many requests carried this batch.
  std::uint32_t attempts = 0;
  /// How many events it held, how many of each kind, and of how many users.
  std::uint32_t events = 0;
  std::uint32_t register_events = 0;
  std::uint32_t signin_events = 0;
  std::uint32_t audio_events = 0;
  std::uint32_t video_events = 0;
  std::uint32_t content_events = 0;
  std::uint32_t users = 0;
  /// [{"partner_user_id":"u-1","events":{"video":2}},...]
  std::string users_json;
};

/// Selects receipts. A field that is not set is no condition; a receipt has to meet all that are set.
struct receipt_filter {
  /// Only requests with an event of this user.
  std::optional<std::string_view> partner_user_id = std::nullopt;
  /// Only requests of this time or later.
  std::optional<time_point> from = std::nullopt;
  /// Only requests before this time.
  std::optional<time_point> until = std::nullopt;
  /// Only receipts with a greater id.
  std::int64_t after_id = 0;
};

namespace detail {

/// How a list of events is walked.
struct events_of_cursor {
  using handle = meditopia_cursor;
  using raw = meditopia_row;
  using item = listed_event;
  static meditopia_status next(handle* cursor, raw* row, meditopia_error* error) noexcept {
    return meditopia_cursor_next(cursor, row, error);
  }
  static void free(handle* cursor) noexcept { meditopia_cursor_free(cursor); }
  static void read(const raw& row, item& event) {
    event.id = row.id;
    event.reason = static_cast<meditopia::reason>(row.reason);
    event.http_status = row.http_status == 0 ? std::nullopt : std::optional<int>{row.http_status};
    event.first = from_ms(row.first_ms);
    event.last = from_ms(row.last_ms);
    event.attempts = row.attempts;
    event.json.assign(row.event_json, row.event_json_len);
    event.api_code = row.api_code;
    event.message = row.message;
  }
};

/// How a list of receipts is walked.
struct receipts_of_list {
  using handle = meditopia_receipts;
  using raw = meditopia_receipt;
  using item = receipt;
  static meditopia_status next(handle* list, raw* row, meditopia_error* error) noexcept {
    return meditopia_receipts_next(list, row, error);
  }
  static void free(handle* list) noexcept { meditopia_receipts_free(list); }
  static void read(const raw& row, item& receipt) {
    receipt.id = row.id;
    receipt.http_status = row.http_status;
    receipt.time = from_ms(row.time_ms);
    receipt.attempts = row.attempts;
    receipt.events = row.events;
    receipt.register_events = row.register_events;
    receipt.signin_events = row.signin_events;
    receipt.audio_events = row.audio_events;
    receipt.video_events = row.video_events;
    receipt.content_events = row.content_events;
    receipt.users = row.users;
    receipt.users_json.assign(row.users_json, row.users_json_len);
  }
};

}  // namespace detail

/// A list, oldest first: an input range that reads the store page by page.
///
///   for (const meditopia::listed_event& event : client.rejected()) std::cout << event.json << '\n';
///
/// One thread at a time may use it, and it can be walked once. What an iterator points to is valid until
/// the next step. The list holds no transaction, so it may stay open, even after its client is closed.
template <class Source>
class list {
 public:
  using item = typename Source::item;

  explicit list(typename Source::handle* handle) noexcept : handle_(handle) {}

  /// Goes to the next item, which is valid until the next step; nullptr at the end.
  result<const item*> try_next() noexcept {
    failure failure;
    typename Source::raw row{};
    row.struct_size = sizeof row;
    const meditopia_status status = Source::next(handle_.get(), &row, failure.raw());
    if (status < 0) return failure;
    if (status == MEDITOPIA_DONE) return static_cast<const item*>(nullptr);
    Source::read(row, item_);
    return static_cast<const item*>(&item_);
  }

#if MEDITOPIA_EXCEPTIONS
  const item* next() { return try_next().value(); }

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = item;
    using difference_type = std::ptrdiff_t;
    using pointer = const item*;
    using reference = const item&;

    iterator() noexcept = default;
    explicit iterator(list* list) : list_(list), item_(list->next()) {}
    reference operator*() const noexcept { return *item_; }
    pointer operator->() const noexcept { return item_; }
    iterator& operator++() {
      item_ = list_->next();
      return *this;
    }
    /// The result of `i++`: a copy of the item before the step.
    class before {
     public:
      explicit before(const item& was) : item_(was) {}
      const item& operator*() const noexcept { return item_; }

     private:
      item item_;
    };
    before operator++(int) {
      before was(*item_);
      ++*this;
      return was;
    }
    friend bool operator==(const iterator& one, const iterator& other) noexcept { return one.item_ == other.item_; }
    friend bool operator!=(const iterator& one, const iterator& other) noexcept { return !(one == other); }

   private:
    list* list_ = nullptr;
    const item* item_ = nullptr;
  };

  /// Steps to the first item.
  iterator begin() { return iterator(this); }
  iterator end() const noexcept { return {}; }
#endif

 private:
  struct deleter {
    void operator()(typename Source::handle* handle) const noexcept { Source::free(handle); }
  };
  std::unique_ptr<typename Source::handle, deleter> handle_;
  item item_;
};

using event_list = list<detail::events_of_cursor>;
using receipt_list = list<detail::receipts_of_list>;

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
