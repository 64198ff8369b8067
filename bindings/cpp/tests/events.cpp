// What is enqueued arrives, from owners that can be moved.
#include "story.hpp"

#include <sys/wait.h>

#include <thread>
#include <utility>

using meditopia::client;
using namespace std::chrono_literals;

STORY(each_field_arrives_as_it_was_given, 6, "") {
  client client{options()};
  const std::string token = "token-1";
  const std::string with_nul{"a\0b", 3};
  const std::string_view part = std::string_view("user-1 and more").substr(0, 6);  // no NUL behind it
  client.enqueue(token, part, meditopia::event_type::video);
  client.enqueue(token, part, meditopia::event_type::audio, "", "2024-08-06 15:04:05");
  client.enqueue(token, part, "content", with_nul, std::string("2024-08-06T17:04:06+02:00"));
  const std::optional<std::string_view> nothing;
  const meditopia::time_point at{std::chrono::seconds{1722956647} + 999ms};
  client.enqueue(token, part, meditopia::event_type::signin, nothing, at);
  client.enqueue(token, part, meditopia::event_type::registration, "before 1970", meditopia::time_point{-1ms});
  CHECK(client.enqueue_json(R"([{"token":"t","partner_user_id":"user-1","event":"signin","event_value":"json"}])") == 1);
  CHECK(client.flush(soon).delivered == 6);

  const std::string events = ledger("/sandbox/ledger/events");
  const auto arrived = [&](const char* fields) { return events.find(fields) != std::string::npos; };
  CHECK(arrived(R"("partner_user_id":"user-1","event":"video","event_value":null)"));
  CHECK(arrived(R"("event":"audio","event_value":"","received_at":"2024-08-06 15:04:05")"));
  CHECK(arrived(R"("event":"content","event_value":"a\u0000b","received_at":"2024-08-06 15:04:06")"));
  CHECK(arrived(R"("event":"signin","event_value":null,"received_at":"2024-08-06 15:04:07")"));
  CHECK(arrived(R"("event":"register","event_value":"before 1970","received_at":"1969-12-31 23:59:59")"));
  CHECK(arrived(R"("event_value":"json")"));
}

STORY(a_moved_client_goes_on_and_the_one_left_behind_says_so, 3, "") {
  static_assert(!std::is_copy_constructible_v<client> && !std::is_copy_assignable_v<client>);
  static_assert(std::is_nothrow_move_constructible_v<client> && std::is_nothrow_move_assignable_v<client>);
  static_assert(!std::is_copy_constructible_v<meditopia::config> && std::is_nothrow_move_constructible_v<meditopia::config>);
  static_assert(!std::is_copy_constructible_v<meditopia::event_list> && std::is_move_constructible_v<meditopia::event_list>);

  client first{options()};
  first.enqueue("t", "u", "video", "1");
  client second{std::move(first)};
  CHECK(!first && second);
  second.enqueue("t", "u", "video", "2");
  THROWS(meditopia::invalid_argument, meditopia::errc::invalid_argument, first.enqueue("t", "u", "video", "never"));

  std::vector<client> many;
  for (int i = 0; i < 20; i++) many.push_back(client{options()});  // it grows, and moves them
  many.erase(many.begin());
  many.front() = std::move(second);  // the client that was there is let go
  many.front().enqueue("t", "u", "video", "3");
  client& itself = many.front();
  many.front() = std::move(itself);
  CHECK(many.front().flush(soon).delivered == 3);
}

STORY(a_client_that_is_destroyed_loses_nothing, 100, "") {
  {
    client client{options().set("role", "enqueue")};
    for (int i = 0; i < 100; i++) client.enqueue("t", "u", "video", std::to_string(i));
  }
  client next{options()};
  CHECK(next.flush(soon).delivered == 100);
}

STORY(threads_share_a_client_and_each_users_events_keep_their_order, 1600, "") {
  client client{options().set("lanes", 4)};
  std::vector<std::thread> threads;
  for (int user = 0; user < 8; user++)
    threads.emplace_back([&client, user] {
      for (int i = 0; i < 200; i++)
        client.enqueue("t", "user-" + std::to_string(user), "video", std::to_string(1000 + i));
    });
  for (auto& thread : threads) thread.join();
  CHECK(client.close(soon).pending == 0);

  std::vector<std::string> last(8);
  const std::string events = ledger("/sandbox/ledger/events?limit=100000");
  int seen = 0;
  for (std::size_t at = 0; (at = events.find("\"user-", at)) != std::string::npos; seen++) {
    auto& before = last[static_cast<std::size_t>(events[at + 6] - '0')];
    at = events.find("\"event_value\":\"", at) + 15;
    const std::string value = events.substr(at, 4);
    CHECK(before < value);
    before = value;
  }
  CHECK(seen == 1600);
}

STORY(forked_children_go_on_with_the_client_and_may_destroy_it, 401, "") {
  client client{options().set("role", "enqueue")};
  client.enqueue("t", "parent", "video", "before the fork");
  std::vector<pid_t> children;
  for (int child = 0; child < 4; child++) {
    const pid_t pid = fork();
    if (pid == 0) {
      {
        meditopia::client mine{std::move(client)};
        for (int i = 0; i < 100; i++) mine.enqueue("t", "child-" + std::to_string(child), "video", std::to_string(i));
      }
      _exit(0);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  }
  CHECK(client.flush(soon).delivered == 401);
}

STORY(deadlines_are_durations_or_times_rounded_up_and_held_in_range, 1, "") {
  using meditopia::detail::timeout_ms;
  CHECK(timeout_ms(30s) == 30000 && timeout_ms(1us) == 1 && timeout_ms(1500us) == 2 && timeout_ms(0s) == 0);
  CHECK(timeout_ms(-1s) == 0 && timeout_ms(std::chrono::hours::max()) == 4294967295 && timeout_ms(std::chrono::hours::min()) == 0);
  CHECK(timeout_ms(std::chrono::duration<double>(0.0015)) == 2);
  CHECK(timeout_ms(std::chrono::steady_clock::time_point::min()) == 0);
  CHECK(timeout_ms(std::chrono::steady_clock::time_point::max()) == 4294967295);
  CHECK(timeout_ms(std::chrono::system_clock::now() + 1h) > 3'500'000);

  client client{options()};
  client.enqueue("t", "u", "video");
  CHECK(client.flush(std::chrono::steady_clock::now() + soon).delivered == 1);
  CHECK(client.close(std::chrono::system_clock::now() + soon).pending == 0);
}

STORY(options_are_text_numbers_booleans_and_durations, 0, "") {
  meditopia::config config{{"spool", "/nowhere"}, {"role", "enqueue"}};
  config.set("lanes", 3).set("allow_network_spool", true).set("flush_interval_ms", 2s).set("event_ttl_s", 1500ms);
  CHECK(config.get("lanes") == "3" && config.get("allow_network_spool") == "true");
  CHECK(config.get("flush_interval_ms") == "2000" && config.get("event_ttl_s") == "2");
  CHECK(config.get("role") == "enqueue" && config.get("spool") == "/nowhere" && config.get("batch_max") == "100");
  THROWS(meditopia::config_error, meditopia::errc::config, config.set("lanes", 1s));
  const meditopia::config moved{std::move(config)};
  CHECK(moved.get("lanes") == "3");
}
