// Each failure has a class of its own, and its noexcept twin says the same.
#include "story.hpp"

#include <sys/wait.h>

#include <typeinfo>

using meditopia::client;
using meditopia::errc;
using namespace std::chrono_literals;

STORY(what_the_caller_does_wrong_is_named, 0, "") {
  client client{options().set("role", "enqueue")};
  const auto event = THROWS(meditopia::invalid_event, errc::invalid_event, client.enqueue("t", "u", "yoga"));
  CHECK(event.message().find("event") != std::string_view::npos && !event.retryable());
  const char* second_is_bad = R"([{"token":"t","partner_user_id":"u","event":"video"},{"token":"","partner_user_id":"u","event":"video"}])";
  CHECK(THROWS(meditopia::invalid_event, errc::invalid_event, client.enqueue_json(second_is_bad)).event_index() == 1U);
  THROWS(meditopia::invalid_argument, errc::invalid_argument, client.enqueue("\xff", "u", "video"));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, client.enqueue_json("no JSON"));
  THROWS(meditopia::invalid_event, errc::invalid_event, client.enqueue(std::string_view{}, "u", "video"));
  CHECK(client.stats().pending == 0);

  auto config = options();
  CHECK(THROWS(meditopia::config_error, errc::config, config.set("lane", 2)).message().find("lanes") != std::string_view::npos);
  THROWS(meditopia::config_error, errc::config, config.set("lanes", 17));
  THROWS(meditopia::config_error, errc::config, config.get("bearer_token"));
  THROWS(meditopia::io_error, errc::io, client.export_rejected("/nowhere/rejected.ndjson"));
  THROWS(meditopia::config_error, errc::config, meditopia::client{meditopia::config{}});
}

STORY(a_nul_that_would_cut_a_text_short_is_refused, 0, "") {
  using namespace std::string_view_literals;
  client client{options().set("role", "enqueue")};
  auto config = options();
  THROWS(meditopia::invalid_argument, errc::invalid_argument, config.set("account", "a\0b"sv));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, config.set("account\0"sv, "a"));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, config.get("account\0"sv));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, config.load_file("a\0b"sv));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, client.set_bearer_token("a\0b"sv));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, client.rejected({"u\0"sv}));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, client.discard(meditopia::filter{"u\0"sv}));
  THROWS(meditopia::invalid_argument, errc::invalid_argument, client.export_rejected("a\0b"sv));
  CHECK(config.get("account").empty());
}

STORY(what_the_spool_does_not_allow_is_named, 0, "") {
  {
    client client{options().set("role", "enqueue").set("max_spool_bytes", 300)};
    THROWS(meditopia::conflict, errc::conflict, meditopia::client{options().set("role", "enqueue").set("max_spool_bytes", 301)});
    const auto full = THROWS(meditopia::spool_full, errc::spool_full,
                             for (;;) client.enqueue("t", "u", "video", std::string(100, 'x')));
    CHECK(full.retryable());
    THROWS(meditopia::timed_out, errc::timeout, client.flush(0s));
    client.close(0s);
    THROWS(meditopia::closed, errc::closed, client.enqueue("t", "u", "video"));
    client.close(0s);
  }
  const pid_t child = fork();  // another process, since this one still has the spool open
  if (child == 0) {
    THROWS(meditopia::spool_mismatch, errc::spool_mismatch, meditopia::client{options().set("account", "another")});
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

STORY(a_refused_token_pauses_and_the_exception_has_the_report, 1, "") {
  client client{options().set("bearer_token", "wrong")};
  client.enqueue("t", "u", "video");
  try {
    client.flush(soon);
    FAIL("it is paused");
  } catch (const meditopia::incomplete& incomplete) {
    CHECK(typeid(incomplete) == typeid(meditopia::paused));
    CHECK(incomplete.failure().paused_by() == meditopia::pause_reason::auth && incomplete.retryable());
    CHECK(incomplete.failure().http_status() == 401 && !incomplete.failure().api_code().empty());
    CHECK(incomplete.report().pending == 1 && incomplete.report().delivered == 0);
    CHECK(std::string_view(incomplete.what()).find("wrong") == std::string_view::npos);
  }
  CHECK(client.stats().paused_by() == meditopia::pause_reason::auth && client.stats().paused_since());
  client.set_bearer_token(std::getenv("MEDITOPIA_BEARER_TOKEN"));
  client.flush(soon);  // it may have gone before
  CHECK(client.stats().delivered == 1);
}

STORY(a_deadline_that_passes_says_what_waits_and_keeps_it, 1, R"(--faults {"faults":[{"fault":"status","status":503,"count":1,"when":"before"}]})") {
  client client{options().set("role", "enqueue")};
  client.enqueue("t", "u", "video");
  client.hold();
  const auto held = client.try_flush(soon);
  CHECK(!held && held.error().code() == errc::paused && held.error().paused_by() == meditopia::pause_reason::hold);
  CHECK(held.report().pending == 1 && held.report().paused_by() == meditopia::pause_reason::hold);
  client.resume();
  try {
    client.flush(0ms);
    FAIL("nothing is delivered in no time");
  } catch (const meditopia::timed_out& timed_out) {
    CHECK(timed_out.report().pending == 1);
  }
  CHECK(client.flush(soon).delivered == 1);
}

STORY(a_child_of_a_sender_flushes_and_lists, 2, "") {
  client client{options()};
  client.enqueue("t", "u", "video", "1");
  client.flush(soon);
  const pid_t child = fork();
  if (child == 0) {
    client.enqueue("t", "u", "video", "2");
    client.flush(soon);
    _exit(client.rejected().next() ? 1 : 0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(client.flush(soon).pending == 0);
}

STORY(the_noexcept_twins_say_the_same_and_throw_nothing, 1, "") {
  using c = meditopia::client;
  static_assert(noexcept(c::try_open(std::declval<const meditopia::config&>())));
  static_assert(noexcept(std::declval<c&>().try_enqueue("t", "u", "video")) && noexcept(std::declval<c&>().try_flush(soon)));
  static_assert(noexcept(std::declval<c&>().try_rejected()) && noexcept(std::declval<meditopia::event_list&>().try_next()));

  auto none = c::try_open(meditopia::config{});
  CHECK(!none && none.error().code() == errc::config && none.error().name() == std::string_view("MEDITOPIA_ERROR_CONFIG"));
  auto config = options();
  CHECK(!config.try_set("lane", 2) && config.try_set("lanes", 2) && *config.try_get("lanes") == "2");
  auto opened = c::try_open(config);
  CHECK(opened.ok());
  CHECK(opened->try_enqueue("t", "u", "video").ok());
  const auto bad = opened->try_enqueue("t", "u", "yoga");
  CHECK(!bad && bad.error().code() == errc::invalid_event && !bad.error().event_index());
  const auto flushed = opened->try_flush(soon);
  CHECK(flushed.ok() && flushed.report().delivered == 1 && flushed.value().pending == 0);
  CHECK(opened->try_stats()->delivered == 1);
  const auto list = opened->try_rejected();
  CHECK(list.ok());
  const std::vector<std::int64_t> ids;
  CHECK(*opened->try_requeue(ids) == 0 && *opened->try_discard(meditopia::filter{}) == 0);
  const auto closed = opened->try_close(soon);
  CHECK(closed.ok() && opened->try_hold().error().code() == errc::closed);
  THROWS(meditopia::closed, errc::closed, opened->try_hold().value());
}
