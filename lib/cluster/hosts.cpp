// Which hosts there are.
#include <fmt/format.h>

#include "brood/cluster/connect.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "cluster/build.hpp"
#include "cluster/session.hpp"

namespace brood::cluster {

task<std::vector<host>> client::hosts() const {
  const auto session = of_->it;
  detail::answer there = co_await session->ask("sessions", detail::words_of("host"));
  std::vector<host> result;
  for (auto& each : there.list()) {
    host one;
    one.id = each.at(0).string();
    one.build = each.at(1).string();
    one.name = each.at(2).string();
    one.workers = std::stoi(each.at(3).string());
    one.chunks = static_cast<std::uint64_t>(each.at(4).number());
    result.push_back(std::move(one));
  }
  co_return result;
}

namespace {

task<> until_there_are(client self, std::size_t count, std::string build, std::string& seen) {
  detail::session::watch hosts_come(self.place()->it, "hosts");
  for (;;) {
    hosts_come.rearm();
    co_await self.place()->it->once("await_hosts", detail::words_of("hosts"));
    std::size_t right = 0;
    seen.clear();
    const auto there = co_await self.hosts();
    for (const host& each : there) {
      right += each.build == build ? 1 : 0;
      seen += fmt::format("\n  {} with {} workers, build {}{}", each.name, each.workers, each.build,
                          each.build == build ? "" : ", another one");
    }
    if (right >= count) co_return;
    co_await hosts_come.changed();
  }
}

}  // namespace

task<> client::require_hosts(std::size_t count, std::chrono::milliseconds deadline) const {
  const client self = *this;
  const std::string build = detail::build_of_this_program();
  std::string seen;
  bool late = false;
  try {
    co_await with_timeout(deadline, until_there_are(self, count, build, seen));
  } catch (const timed_out&) {
    late = true;
  }
  if (late) {
    throw no_hosts(fmt::format("brood::cluster: {} hosts of build {} were required; there are{}", count,
                               build, seen.empty() ? " none" : ":" + seen));
  }
}

}  // namespace brood::cluster
