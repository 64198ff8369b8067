// Built with -fno-exceptions: delivers one event by the noexcept functions alone.
#include <meditopia.hpp>

#include <cstdio>

static_assert(!MEDITOPIA_EXCEPTIONS);

int main() {
  meditopia::config config;
  if (auto loaded = config.try_load_env(); !loaded) return std::printf("%s\n", loaded.error().raw().message), 1;
  auto client = meditopia::client::try_open(config);
  if (!client) return std::printf("%s\n", client.error().raw().message), 1;
  if (client->try_enqueue("token", "user", "yoga").error().code() != meditopia::errc::invalid_event) return 2;
  if (!client->try_enqueue("token", "user", meditopia::event_type::signin)) return 3;
  auto rejected = client->try_rejected();
  if (!rejected || *rejected->try_next() != nullptr) return 4;
  if (!client->try_set_log([](const meditopia::log_record&) {})) return 5;
  const auto closed = client->try_close(std::chrono::seconds{20});
  return closed.ok() && closed.report().delivered == 1 ? 0 : 6;
}
