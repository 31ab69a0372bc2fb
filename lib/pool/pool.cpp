// The handle of a pool.
#include "brood/pool/pool.hpp"

#include "runtime/log.hpp"

namespace brood {

open_operation pool::open(int workers) {
  if (workers < 1) throw std::invalid_argument("brood::pool: a pool has at least one worker");
  detail::pool_settings settings;
  settings.workers = static_cast<std::uint32_t>(workers);
  return open_operation(std::move(settings));
}

task<pool> open_operation::start(detail::pool_settings settings) {
  auto made = std::make_shared<detail::scheduler>(std::move(settings));
  co_await made->open();
  co_return pool(std::move(made));
}

task<> pool::wait_for_end(std::shared_ptr<handle> of, bool close) {
  if (close) {
    co_await of->pool->close();
  } else {
    co_await of->pool->join();
  }
}

pool::handle::~handle() {
  const auto left = pool->jobs_left();
  if (left != 0 && !pool->is_closed() && !detail::forked) {
    detail::log_error("a pool was dropped with {} job{} under way", left, left == 1 ? "" : "s");
  }
  pool->terminate();
}

}  // namespace brood
