// A client of one spool. Part of meditopia.hpp.

#ifndef MEDITOPIA_CLIENT_HPP
#define MEDITOPIA_CLIENT_HPP

#include <meditopia/config.hpp>
#include <meditopia/list.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace meditopia {

using log_function = std::function<void(const log_record&)>;

namespace detail {

/// The callback that the library calls. It drops an exception of the function, which must neither cross
/// C nor end the process for a log record.
extern "C" inline void meditopia_hpp_forward(const meditopia_log_record* record, void* function) noexcept {
#if MEDITOPIA_EXCEPTIONS
  try {
    (*static_cast<const log_function*>(function))(log_record(*record));
  } catch (...) {
  }
#else
  (*static_cast<const log_function*>(function))(log_record(*record));
#endif
}

}  // namespace detail

/// A client of one spool; any number of threads may use it at once. meditopia.h documents what each
/// call costs, how long it may block and how it can fail, at the function of the same name.
class client {
 public:
  /// Opens the spool that `config` names, and creates it if it does not exist. Does no network I/O and
  /// starts no thread.
  static result<client> try_open(const config& config) noexcept {
    if (!detail::abi_fits()) return detail::abi_misfit();
    failure failure;
    client made;
    meditopia_client* handle = nullptr;
    if (meditopia_client_open(config.raw(), &handle, failure.raw()) < 0) return failure;
    made.handle_.reset(handle);
    return made;
  }

  client(client&&) noexcept = default;
  /// Frees the client that was held before, which waits for nothing.
  client& operator=(client&& other) noexcept {
    handle_ = std::move(other.handle_);  // first: after this the old log function no longer runs
    log_ = std::move(other.log_);
    return *this;
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  /// Waits for nothing and loses nothing; `close` waits for delivery.
  ~client() = default;

  /// False after the client was moved from.
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  /// For functions of meditopia.h.
  meditopia_client* raw() const noexcept { return handle_.get(); }

  /// Queues one event: when it returns without a failure, the event is safe. Does no network I/O, only
  /// one write to a file. Without `value` the API gets null; without `at` the event happened now.
  result<void> try_enqueue(std::string_view token, std::string_view partner_user_id, std::string_view event,
                           std::optional<std::string_view> value = std::nullopt,
                           std::optional<received_at> at = std::nullopt) noexcept {
    const std::string_view when = at ? at->text() : std::string_view{};
    return call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_enqueue_n(handle, not_null(token), token.size(), not_null(partner_user_id),
                                 partner_user_id.size(), not_null(event), event.size(),
                                 value ? not_null(*value) : nullptr, value ? value->size() : 0,
                                 at ? not_null(when) : nullptr, when.size(), error);
    });
  }

  /// Queues an event object, an array of them, or {"events": [...]}: all or none. Returns their number.
  result<std::size_t> try_enqueue_json(std::string_view json) noexcept {
    return counted([&](meditopia_client* handle, std::size_t* accepted, meditopia_error* error) {
      return meditopia_enqueue_json(handle, not_null(json), json.size(), accepted, error);
    });
  }

  /// Waits until every event enqueued before is delivered or rejected, at most for a std::chrono
  /// duration or until a time_point. The result has a report even after a failure.
  template <class Deadline>
  flush_result try_flush(Deadline deadline) noexcept {
    return reported(meditopia_flush, detail::timeout_ms(deadline));
  }

  /// Flushes, if this client may send, and closes. Whatever the outcome, other calls fail with
  /// `errc::closed` from now on. A deadline of 0 is allowed and loses nothing.
  template <class Deadline>
  flush_result try_close(Deadline deadline) noexcept {
    return reported(meditopia_client_close, detail::timeout_ms(deadline));
  }

  result<void> try_set_bearer_token(std::string_view bearer_token) noexcept {
    const detail::c_text token(bearer_token);
    if (!token) return token.refused("bearer_token");
    return call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_set_bearer_token(handle, token.get(), error);
    });
  }

  /// Stops sending from this spool, in every process, until `resume`. Enqueue still works.
  result<void> try_hold() noexcept { return call(meditopia_hold); }
  /// Ends a hold or another pause: the sender tries again at once.
  result<void> try_resume() noexcept { return call(meditopia_resume); }

  /// Erases the user's events that were enqueued before and are not delivered, and the user's receipts, for good.
  /// An event of a request that is under way stays, once the deadline is over.
  template <class Deadline>
  result<meditopia::erasure> try_forget_user(std::string_view partner_user_id, Deadline deadline) noexcept {
    const detail::c_text user(partner_user_id);
    if (!user) return user.refused("partner_user_id");
    meditopia::erasure erasure;
    const auto outcome = call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_forget_user(handle, user.get(), detail::timeout_ms(deadline), &erasure, error);
    });
    if (!outcome) return outcome.error();
    return erasure;
  }

  result<meditopia::stats> try_stats() noexcept {
    meditopia::stats stats;
    const auto outcome = call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_get_stats(handle, &stats, error);
    });
    if (!outcome) return outcome.error();
    return stats;
  }

  result<std::string> try_stats_text(stats_format format) noexcept {
    meditopia_text* text = nullptr;
    const auto outcome = call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_stats_text(handle, static_cast<std::int32_t>(format), &text, error);
    });
    if (!outcome) return outcome.error();
    std::string copy(meditopia_text_data(text), meditopia_text_len(text));
    meditopia_text_free(text);
    return copy;
  }

  /// The rejected events that `filter` selects, oldest first. They stay in the list.
  result<event_list> try_rejected(const filter& filter = {}) noexcept {
    const detail::c_filter wanted(filter);
    if (!wanted) return wanted.refused();
    return listed([&](meditopia_client* handle, meditopia_cursor** out, meditopia_error* error) {
      return meditopia_rejected_find(handle, wanted.get(), out, error);
    });
  }

  /// The events in doubt: they were sent, but no answer settled whether they arrived.
  result<event_list> try_in_doubt(std::int64_t after_id = 0) noexcept {
    return listed([&](meditopia_client* handle, meditopia_cursor** out, meditopia_error* error) {
      return meditopia_in_doubt_open(handle, after_id, out, error);
    });
  }

  /// The events that wait: those that a sender has taken over, then the others. Of one user, if
  /// `partner_user_id` is set.
  result<event_list> try_pending(std::optional<std::string_view> partner_user_id = std::nullopt,
                                 std::int64_t after_id = 0) noexcept {
    const detail::c_text user(partner_user_id.value_or(std::string_view{}));
    if (!user) return user.refused("partner_user_id");
    return listed([&](meditopia_client* handle, meditopia_cursor** out, meditopia_error* error) {
      return meditopia_pending_open(handle, partner_user_id ? user.get() : nullptr, after_id, out, error);
    });
  }

  /// The requests that the API accepted within the last `receipts_days`, oldest first.
  result<receipt_list> try_receipts(const receipt_filter& filter = {}) noexcept {
    const detail::c_text user(filter.partner_user_id.value_or(std::string_view{}));
    if (!user) return user.refused("partner_user_id");
    const std::int64_t from = filter.from ? detail::to_ms(*filter.from) : 0;
    std::int64_t until = filter.until ? detail::to_ms(*filter.until) : 0;
    if (filter.until && until == 0) until = -1;  // 0 means no limit in meditopia.h
    meditopia_receipts* list = nullptr;
    const auto outcome = call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_receipts_open(handle, filter.partner_user_id ? user.get() : nullptr, from, until,
                                     filter.after_id, &list, error);
    });
    if (!outcome) return outcome.error();
    return receipt_list(list);
  }

  /// When a sender was last at work, and whether events wait: cheap enough for each request of a service
  /// that only enqueues.
  result<sender_sight> try_sender_seen() noexcept {
    std::int64_t seen = 0;
    std::int32_t waiting = 0;
    const auto outcome = call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_sender_seen(handle, &seen, &waiting, error);
    });
    if (!outcome) return outcome.error();
    return sender_sight{detail::some_time(seen), waiting != 0};
  }

  /// Sends rejected events again, selected by a filter or by a container of ids. Returns their number.
  template <class Which>
  result<std::size_t> try_requeue(const Which& which) noexcept {
    return changed(which, meditopia_rejected_requeue, meditopia_rejected_requeue_matching);
  }
  /// Removes rejected events for good, selected by a filter or by a container of ids. Returns their
  /// number.
  template <class Which>
  result<std::size_t> try_discard(const Which& which) noexcept {
    return changed(which, meditopia_rejected_discard, meditopia_rejected_discard_matching);
  }
  /// Moves events in doubt from their batch to the rejected events. Returns their number.
  template <class Ids>
  result<std::size_t> try_set_aside(const Ids& ids) noexcept {
    return counted([&](meditopia_client* handle, std::size_t* count, meditopia_error* error) {
      return meditopia_in_doubt_set_aside(handle, std::data(ids), std::size(ids), count, error);
    });
  }

  /// Writes the rejected events that `filter` selects to a new file, one JSON object per line. Returns
  /// their number.
  result<std::size_t> try_export_rejected(std::string_view path, const filter& filter = {}) noexcept {
    const detail::c_text file(path);
    const detail::c_filter wanted(filter);
    if (!file) return file.refused("path");
    if (!wanted) return wanted.refused();
    return counted([&](meditopia_client* handle, std::size_t* count, meditopia_error* error) {
      return meditopia_rejected_export(handle, wanted.get(), file.get(), count, error);
    });
  }

  /// Sets the function that is called with every log record; an empty function removes it. The function
  /// runs on threads of the library, perhaps on several at once, and must not call this client.
  /// Exceptions that it throws are dropped. When this call returns, the previous function no longer
  /// runs. One thread at a time may set it.
  result<void> try_set_log(log_function function) noexcept {
    auto kept = function ? std::make_unique<log_function>(std::move(function)) : nullptr;
    const auto outcome = call([&](meditopia_client* handle, meditopia_error* error) {
      return meditopia_set_log_callback(handle, kept ? detail::meditopia_hpp_forward : nullptr, kept.get(), error);
    });
    if (outcome) log_ = std::move(kept);
    return outcome;
  }

  /// Takes the oldest log record that no call has taken yet; nullopt if there is none. For applications
  /// that set no log function.
  result<std::optional<log_record>> try_log_next() noexcept {
    meditopia_log_record raw{};
    raw.struct_size = sizeof raw;
    failure failure;
    const meditopia_status status = meditopia_log_next(handle_.get(), &raw, failure.raw());
    if (status < 0) return failure;
    return status == MEDITOPIA_DONE ? std::nullopt : std::optional<log_record>{log_record(raw)};
  }

#if MEDITOPIA_EXCEPTIONS
  explicit client(const config& config) : client(try_open(config).value()) {}
  static client open(const config& config) { return client(config); }

  void enqueue(std::string_view token, std::string_view partner_user_id, std::string_view event,
               std::optional<std::string_view> value = std::nullopt, std::optional<received_at> at = std::nullopt) {
    try_enqueue(token, partner_user_id, event, value, at).value();
  }
  std::size_t enqueue_json(std::string_view json) { return try_enqueue_json(json).value(); }
  template <class Deadline>
  meditopia::report flush(Deadline deadline) {
    return try_flush(deadline).value();
  }
  template <class Deadline>
  meditopia::report close(Deadline deadline) {
    return try_close(deadline).value();
  }
  void set_bearer_token(std::string_view bearer_token) { try_set_bearer_token(bearer_token).value(); }
  void hold() { try_hold().value(); }
  void resume() { try_resume().value(); }
  template <class Deadline>
  meditopia::erasure forget_user(std::string_view partner_user_id, Deadline deadline) {
    return try_forget_user(partner_user_id, deadline).value();
  }
  meditopia::stats stats() { return try_stats().value(); }
  std::string stats_text(stats_format format) { return try_stats_text(format).value(); }
  event_list rejected(const filter& filter = {}) { return try_rejected(filter).value(); }
  event_list in_doubt(std::int64_t after_id = 0) { return try_in_doubt(after_id).value(); }
  event_list pending(std::optional<std::string_view> partner_user_id = std::nullopt, std::int64_t after_id = 0) {
    return try_pending(partner_user_id, after_id).value();
  }
  receipt_list receipts(const receipt_filter& filter = {}) { return try_receipts(filter).value(); }
  sender_sight sender_seen() { return try_sender_seen().value(); }
  template <class Which>
  std::size_t requeue(const Which& which) {
    return try_requeue(which).value();
  }
  template <class Which>
  std::size_t discard(const Which& which) {
    return try_discard(which).value();
  }
  template <class Ids>
  std::size_t set_aside(const Ids& ids) {
    return try_set_aside(ids).value();
  }
  std::size_t requeue(std::initializer_list<std::int64_t> ids) { return try_requeue(ids).value(); }
  std::size_t discard(std::initializer_list<std::int64_t> ids) { return try_discard(ids).value(); }
  std::size_t set_aside(std::initializer_list<std::int64_t> ids) { return try_set_aside(ids).value(); }
  std::size_t export_rejected(std::string_view path, const filter& filter = {}) {
    return try_export_rejected(path, filter).value();
  }
  void set_log(log_function function) { try_set_log(std::move(function)).value(); }
  std::optional<log_record> log_next() { return try_log_next().value(); }
#endif

 private:
  struct deleter {
    void operator()(meditopia_client* client) const noexcept { meditopia_client_free(client); }
  };

  client() noexcept = default;

  /// A pointer that is not NULL: the data of an empty view may be NULL, which meditopia.h takes for a
  /// missing string.
  static const char* not_null(std::string_view text) noexcept { return text.data() == nullptr ? "" : text.data(); }

  template <class Call>
  result<void> call(Call function) const noexcept {
    return result<void>::from([&](meditopia_error* error) { return function(handle_.get(), error); });
  }

  template <class Call>
  result<std::size_t> counted(Call function) noexcept {
    std::size_t count = 0;
    const auto outcome =
        call([&](meditopia_client* handle, meditopia_error* error) { return function(handle, &count, error); });
    if (!outcome) return outcome.error();
    return count;
  }

  template <class Call>
  result<event_list> listed(Call function) noexcept {
    meditopia_cursor* cursor = nullptr;
    const auto outcome =
        call([&](meditopia_client* handle, meditopia_error* error) { return function(handle, &cursor, error); });
    if (!outcome) return outcome.error();
    return event_list(cursor);
  }

  template <class Call>
  flush_result reported(Call function, std::uint32_t timeout_ms) noexcept {
    meditopia::report report;
    const auto outcome = call([&](meditopia_client* handle, meditopia_error* error) {
      return function(handle, timeout_ms, &report, error);
    });
    return {outcome, report};
  }

  template <class Which, class ByIds, class ByFilter>
  result<std::size_t> changed(const Which& which, ByIds by_ids, ByFilter by_filter) noexcept {
    if constexpr (std::is_same_v<Which, filter>) {
      const detail::c_filter wanted(which);
      if (!wanted) return wanted.refused();
      return counted([&](meditopia_client* handle, std::size_t* count, meditopia_error* error) {
        return by_filter(handle, wanted.get(), count, error);
      });
    } else {
      return counted([&](meditopia_client* handle, std::size_t* count, meditopia_error* error) {
        return by_ids(handle, std::data(which), std::size(which), count, error);
      });
    }
  }

  // The order matters: the client may be calling the function, so the function is destroyed after it.
  std::unique_ptr<log_function> log_;
  std::unique_ptr<meditopia_client, deleter> handle_;
};

}  // namespace meditopia

#endif
