#include "service/directory.hpp"

#include <fmt/format.h>
#include <nettle/hmac.h>

#include <array>
#include <cstdint>
#include <exception>

#include "brood/service/find_service.hpp"
#include "channel/socket_address.hpp"
#include "runtime/log.hpp"
#include "service/service_record.hpp"
#include "system/stream_socket.hpp"

namespace brood {
namespace detail {
namespace {

address address_of(const std::string& name) {
  const authkey key;
  hmac_sha256_ctx context;
  const auto* secret = reinterpret_cast<const std::uint8_t*>(key.bytes().data());
  hmac_sha256_set_key(&context, key.bytes().size(), secret);
  const std::string text = "service " + name;
  hmac_sha256_update(&context, text.size(), reinterpret_cast<const std::uint8_t*>(text.data()));
  std::array<std::uint8_t, 16> digest;
  hmac_sha256_digest(&context, digest.size(), digest.data());
  return address(fmt::format("unix:@brood-service-{:02x}", fmt::join(digest, "")));
}

/// Tells an absent service from a supervisor that is slow.
bool is_there(const address& where) {
  const sys::endpoint there = endpoint_of(where);
  const unique_fd socket = sys::stream_socket(there);
  const int error = sys::start_connect(socket.get(), there);
  return error != ECONNREFUSED && error != ENOENT;
}

task<> tell(listener entry, const service_record& record) {
  auto asking = entry.accept<int, found_service>();
  const auto client = co_await std::move(asking);
  const found_service now{record.name, record.state, record.pid(), record.restarts(), record.status};
  client.try_send(now);
}

task<std::optional<found_service>> find(std::string name) {
  const address where = address_of(name);
  if (!is_there(where)) co_return std::nullopt;
  auto connecting = connect<found_service, int>(where);
  const auto supervisor = co_await std::move(connecting);
  auto receiving = supervisor.recv();
  auto found = co_await std::move(receiving);
  co_return std::optional<found_service>(std::move(found));
}

}  // namespace

std::optional<listener> open_directory_entry(const std::string& name) {
  try {
    return listener(address_of(name));
  } catch (const std::exception& e) {
    log_debug("service {} cannot be found by its name: {}", name, e.what());
    return std::nullopt;
  }
}

task<> answer_from(listener entry, std::shared_ptr<service_record> record) {
  while (!entry.is_closed()) {
    try {
      co_await tell(entry, *record);
    } catch (const std::exception& e) {
      log_debug("who asked for service {} is gone: {}", record->name, e.what());
    }
  }
}

}  // namespace detail

task<std::optional<found_service>> find_service(std::string name) { return detail::find(std::move(name)); }

}  // namespace brood
