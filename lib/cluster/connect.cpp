#include "brood/cluster/connect.hpp"

#include <stdexcept>

#include "brood/cluster/detail/membership.hpp"
#include "brood/system/unique_fd.hpp"
#include "cluster/session.hpp"
#include "cluster/task_table.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

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

authkey key_from_file(const std::filesystem::path& file) {
  const unique_fd fd(sys::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) sys::throw_errno("open " + file.string());
  struct stat status{};
  if (sys::fstat(fd.get(), &status) != 0) sys::throw_errno("fstat " + file.string());
  if ((status.st_mode & 077) != 0) {
    throw std::invalid_argument("brood::cluster: others can read the key in " + file.string() +
                                ": chmod 600 it");
  }
  std::string text(4096, '\0');
  const ssize_t size = sys::read(fd.get(), text.data(), text.size());
  if (size < 0) sys::throw_errno("read " + file.string());
  text.resize(static_cast<std::size_t>(size));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) throw std::invalid_argument("brood::cluster: the key in " + file.string() + " is empty");
  return authkey(text);
}

}  // namespace brood::cluster
