#include "brood/cluster/connect.hpp"

#include "brood/cluster/detail/membership.hpp"
#include "cluster/session.hpp"
#include "cluster/task_table.hpp"

namespace brood::cluster {

namespace detail {

membership::membership(std::shared_ptr<session> of) noexcept : it(std::move(of)) {}
membership::~membership() {
  tasks.reset();
  it->stop();
}

}  // namespace detail

task<> client::close() const {
  const auto session = of_->it;
  co_await session->leave();
}

task<client> connect_operation::start(settings chosen) {
  runtime& loop = runtime::current();
  auto session = std::make_shared<detail::session>(loop, std::move(chosen), detail::role());
  const auto place = std::make_shared<detail::membership>(session);
  loop.start(session->live(), [](std::exception_ptr) {});
  co_await session->joined();
  co_return client(place);
}

}  // namespace brood::cluster
