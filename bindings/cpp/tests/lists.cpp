// Lists as ranges, and the log.
#include "story.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>

using meditopia::client;
using meditopia::listed_event;
using namespace std::chrono_literals;

/// 30 events, a third of them of two users that the API does not know; flushed.
static void enqueue_thirty(client& client) {
  for (int i = 0; i < 30; i++)
    client.enqueue("t", i % 3 == 0 ? "unknown-" + std::to_string(i % 2) : "user", "video", std::to_string(i));
  const auto report = client.flush(soon);
  CHECK(report.delivered == 20 && report.rejected == 10 && report.pending == 0);
}

STORY(the_rejected_are_an_input_range_and_outlive_it, 20, "--unknown-prefix unknown-") {
  static_assert(std::is_same_v<std::iterator_traits<meditopia::event_list::iterator>::iterator_category, std::input_iterator_tag>);
  client client{options()};
  enqueue_thirty(client);

  std::int64_t last = 0;
  int count = 0;
  for (const listed_event& event : client.rejected()) {
    CHECK(event.id > last && event.reason == meditopia::reason::refused && event.attempts >= 1);
    CHECK(event.json.find("unknown-") != std::string::npos && event.http_status && !event.api_code.empty() && !event.message.empty());
    CHECK(event.first <= event.last && event.last > meditopia::time_point{});
    last = event.id;
    count++;
  }
  CHECK(count == 10);

  auto list = client.rejected();
  const std::vector<listed_event> all(list.begin(), list.end());
  CHECK(all.size() == 10 && all.front().json != all.back().json);
  auto twice = client.rejected();
  auto step = twice.begin();
  const listed_event first = *step++;
  CHECK(first.id == all[0].id && step->id == all[1].id && step != twice.end());
  auto moved = std::move(twice);
  CHECK(moved.next()->id == all[2].id);
  auto counted = client.rejected({"unknown-1"});
  CHECK(std::count_if(counted.begin(), counted.end(), [](const listed_event&) { return true; }) == 5);
  meditopia::filter later;
  later.after_id = all[7].id;
  later.from = all.front().last;
  later.until = std::chrono::system_clock::now() + 1h;
  later.reason = meditopia::reason::refused;
  auto rest = client.rejected(later);
  CHECK(std::distance(rest.begin(), rest.end()) == 2);
  (void)client.try_close(0s);  // a sender is given no time to say that all is done
  CHECK(all[9].json.find("\"27\"") != std::string::npos);
}

STORY(rejected_events_are_requeued_exported_and_discarded_by_id_or_filter, 20, "--unknown-prefix unknown-") {
  client client{options()};
  enqueue_thirty(client);
  auto list = client.rejected({"unknown-0"});
  std::vector<std::int64_t> ids;
  std::transform(list.begin(), list.end(), std::back_inserter(ids), [](const listed_event& event) { return event.id; });

  const std::string path = std::string(std::getenv("MEDITOPIA_SPOOL")) + ".ndjson";
  CHECK(client.export_rejected(path, {"unknown-0"}) == 5);
  std::ifstream file(path);
  CHECK(std::count(std::istreambuf_iterator<char>(file), {}, '\n') == 5);

  CHECK(client.requeue({ids[0], ids[1]}) == 2);
  client.flush(soon);  // the API knows them no better
  CHECK(client.stats().rejected == 12);
  CHECK(client.discard(std::vector<std::int64_t>{ids[2], ids[3]}) == 2);
  CHECK(client.discard(meditopia::filter{"unknown-1"}) == 5);
  CHECK(client.requeue(meditopia::filter{"nobody"}) == 0);
  meditopia::filter before_all;
  before_all.until = std::chrono::system_clock::time_point{};
  CHECK(client.requeue(before_all) == 0);
  auto left = client.rejected();
  CHECK(std::distance(left.begin(), left.end()) == 3);
}

STORY(what_waits_and_what_was_accepted_are_listed_and_a_sender_is_seen, 3, "") {
  client client{options().set("role", "enqueue")};
  CHECK(!client.sender_seen().seen && !client.sender_seen().waiting);
  for (int i = 0; i < 3; i++) client.enqueue("t", i == 1 ? "u-2" : "u-1", "video", std::to_string(i));
  CHECK(!client.sender_seen().seen && client.sender_seen().waiting);
  auto waiting = client.pending();
  const std::vector<listed_event> rows(waiting.begin(), waiting.end());
  CHECK(rows.size() == 3 && rows[0].reason == meditopia::reason::journalled);
  auto of_user = client.pending("u-1", rows[0].id);
  CHECK(of_user.next()->id == rows[2].id && of_user.next() == nullptr);
  CHECK(client.receipts().next() == nullptr);
  const auto started = std::chrono::system_clock::now() - 1min;
  client.flush(soon);
  CHECK(client.pending().next() == nullptr);
  CHECK(client.sender_seen().seen && !client.sender_seen().waiting);
  auto all = client.receipts();
  const std::vector<meditopia::receipt> receipts(all.begin(), all.end());
  CHECK(receipts.size() == 1);
  const auto& one = receipts[0];
  CHECK(one.events == 3 && one.video_events == 3 && one.users == 2 && one.attempts == 1 && one.http_status >= 200);
  CHECK(one.users_json == R"([{"partner_user_id":"u-1","events":{"video":2}},{"partner_user_id":"u-2","events":{"video":1}}])");
  meditopia::receipt_filter filter;
  filter.partner_user_id = "u-2";
  filter.from = started;
  CHECK(client.receipts(filter).next()->id == one.id);
  filter.until = std::chrono::system_clock::time_point{};
  CHECK(client.receipts(filter).next() == nullptr);
  CHECK(client.receipts({"u-3"}).next() == nullptr);
  CHECK(!client.try_pending(std::string_view("u\0", 2)) && !client.try_receipts({std::string_view("u\0", 2)}));
}

STORY(options_in_braces_may_be_of_any_type, 0, "") {
  const std::string spool = std::getenv("MEDITOPIA_SPOOL");
  const meditopia::config config{{"spool", spool},          {"role", "enqueue"},
                                 {"lanes", 4},              {"trust_group", false},
                                 {"event_ttl_s", 90min},    {"max_spool_bytes", std::uint64_t{1} << 33},
                                 {"flush_interval_ms", 1s}, {"durability", std::string_view("process")}};
  CHECK(config.get("lanes") == "4" && config.get("trust_group") == "false" && config.get("event_ttl_s") == "5400");
  CHECK(config.get("max_spool_bytes") == "8589934592" && config.get("flush_interval_ms") == "1000");
  client{config}.close(0s);
  THROWS(meditopia::config_error, meditopia::errc::config, (meditopia::config{{"lanes", 99}}));
  THROWS(meditopia::config_error, meditopia::errc::config, (meditopia::config{{"lanes", 1s}}));
  const meditopia::config texts{{"spool", "x"}, {"role", "enqueue"}};  // two texts are not a range of characters
  CHECK(texts.get("role") == "enqueue");
}

STORY(a_user_is_erased_and_the_others_are_delivered, 1, "") {
  client client{options().set("role", "enqueue")};
  for (const char* user : {"gone", "stays", "gone"}) client.enqueue("t", user, "video");
  const auto erasure = client.forget_user("gone", soon);
  CHECK(erasure.complete() && erasure.pending == 2 && erasure.rejected == 0 && erasure.in_flight == 0);
  client.flush(soon);
  CHECK(client.stats().delivered == 1);
  CHECK(client.forget_user("stays", soon).receipts == 1);
  CHECK(client.try_forget_user("", soon).error().code() == meditopia::errc::invalid_argument);
}

STORY(an_event_in_doubt_is_listed_and_set_aside, 1, R"(--faults {"faults":[{"fault":"status","status":500,"when":"after"}]})") {
  client client{options().set("role", "enqueue")};
  client.enqueue("t", "u", "video");
  std::int64_t id = 0;
  while (id == 0) {
    (void)client.try_flush(100ms);
    for (const listed_event& event : client.in_doubt()) {
      CHECK(event.reason == meditopia::reason::in_doubt && event.attempts >= 1);
      id = event.id;
    }
  }
  CHECK(client.set_aside({id}) == 1);
  CHECK(client.rejected().next()->reason == meditopia::reason::set_aside);
  auto none = client.in_doubt();
  CHECK(none.begin() == none.end());
}

STORY(statistics_are_fields_or_text, 20, "--unknown-prefix unknown-") {
  client client{options()};
  enqueue_thirty(client);
  const auto stats = client.stats();
  CHECK(stats.enqueued == 30 && stats.delivered == 20 && stats.rejected == 10 && stats.pending == 0);
  CHECK(stats.paused_by() == meditopia::pause_reason::none && !stats.paused_since() && !stats.oldest_pending() && stats.sender_seen());
  CHECK(client.stats_text(meditopia::stats_format::json).front() == '{');
  CHECK(client.stats_text(meditopia::stats_format::prometheus).find("# TYPE") != std::string::npos);
  CHECK(meditopia::version() == meditopia_version());
}

STORY(a_log_function_hears_all_and_what_it_throws_harms_nobody, 20, "--unknown-prefix unknown-") {
  std::atomic<int> heard{0}, replaced{0};
  client client{options().set("log_level", "debug")};
  client.set_log([&](const meditopia::log_record& record) {
    CHECK(!record.message.empty() && record.level >= meditopia::log_level::error && record.level <= meditopia::log_level::debug);
    heard++;
    throw std::runtime_error("from the log function");
  });
  enqueue_thirty(client);
  CHECK(heard > 0);

  meditopia::client moved{std::move(client)};  // the function goes with it
  const int before = heard;
  moved.hold();
  moved.resume();
  CHECK(heard > before);
  moved.set_log([&](const meditopia::log_record&) { replaced++; });
  const int then = heard;
  moved.hold();
  moved.resume();
  CHECK(heard == then && replaced > 0);
}

STORY(a_log_function_is_destroyed_when_it_runs_no_more, 0, "") {
  const auto owned = std::make_shared<int>();
  const auto keep = [owned](const meditopia::log_record&) {};
  const long with_keep = owned.use_count();
  client client{options().set("role", "enqueue")};
  client.set_log(keep);
  CHECK(owned.use_count() == with_keep + 1);
  client.set_log(nullptr);
  CHECK(owned.use_count() == with_keep);
  client.set_log(keep);
  client.close(0s);
  THROWS(meditopia::closed, meditopia::errc::closed, client.set_log(keep));
  CHECK(owned.use_count() == with_keep + 1);
  client = meditopia::client{options().set("role", "enqueue")};
  CHECK(owned.use_count() == with_keep);
}

STORY(a_host_may_take_log_records_instead, 1, "") {
  client client{options().set("log_level", "debug")};
  client.enqueue("t", "u", "video");
  client.flush(soon);
  // What has happened is told to the log after it has happened.
  auto record = client.log_next();
  while (!record) record = client.log_next();
  for (; record; record = client.log_next()) CHECK(!record->message.empty());
}
