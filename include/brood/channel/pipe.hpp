// pipe: two connected ends in shared memory, for any two processes of the family.
#pragma once

#include <cstdint>
#include <utility>

#include "brood/channel/connection.hpp"
#include "brood/export.hpp"

namespace brood {
namespace detail {

/// Messages under way in one direction before `send` waits.
inline constexpr std::uint64_t pipe_capacity = 64;

using channel_pair = std::pair<std::shared_ptr<message_channel>, std::shared_ptr<message_channel>>;

/// The second end sends what the first receives, and the other way round if `both_ways`.
/// Throws `std::invalid_argument` for a capacity of zero, `arena_full`, and `std::logic_error` without `brood::init`.
BROOD_API channel_pair make_pipe(std::uint64_t capacity, bool both_ways);

}  // namespace detail

/// Two ends; the first sends requests and receives replies, the second the other way round.
/// Memory: messages up to 248 bytes lie in the pipe, larger ones in blocks of the arena, at most `capacity` of them in
/// each direction.
template <class Request, class Reply = Request>
std::pair<connection<Reply, Request>, connection<Request, Reply>> pipe(
    std::uint64_t capacity = detail::pipe_capacity) {
  auto [first, second] = detail::make_pipe(capacity, true);
  return {connection<Reply, Request>(std::move(first)), connection<Request, Reply>(std::move(second))};
}

/// `auto [receiver, sender] = one_way_pipe<T>();`
template <class T>
std::pair<receiver<T>, sender<T>> one_way_pipe(std::uint64_t capacity = detail::pipe_capacity) {
  auto [first, second] = detail::make_pipe(capacity, false);
  return {receiver<T>(std::move(first)), sender<T>(std::move(second))};
}

}  // namespace brood
