#include "brood/runtime/stream.hpp"

#include "runtime/stream_state.hpp"

namespace brood {

reader::reader(unique_fd fd) : state_(std::make_shared<state>(std::move(fd), fd_watch::readable)) {}

task<std::string> reader::read(std::size_t most) { return state::read(state_, most); }

task<std::optional<std::string>> reader::read_line(std::size_t longest, long_line too_long) {
  return state::read_line(state_, longest, too_long);
}

task<std::string> reader::read_all(std::size_t most) { return state::read_all(state_, most); }

task<std::string> reader::read_exactly(std::size_t count) { return state::read_exactly(state_, count); }

task<std::string> reader::read_until(std::string end, std::size_t most) {
  return state::read_until(state_, std::move(end), most);
}

int reader::fd() const noexcept { return state_ ? state_->fd.get() : -1; }

void reader::close() noexcept {
  if (state_) state_->close();
}

void detail::keep_tail(reader& of) noexcept {
  if (of.state_) of.state_->keeps_tail = true;
}

std::string detail::tail_of(const reader& of, std::size_t most) {
  if (!of.state_) return {};
  reader::state& state = *of.state_;
  state.fill_now();
  const std::string all = state.tail + std::string(state.rest());
  if (all.size() <= most) return all;
  const std::size_t line = all.find('\n', all.size() - most);
  return all.substr(line == std::string::npos || line + 1 == all.size() ? all.size() - most : line + 1);
}

writer::writer(unique_fd fd) : state_(std::make_shared<state>(std::move(fd), fd_watch::writable)) {}

task<> writer::write(std::string bytes) { return state::write(state_, std::move(bytes)); }

task<> writer::write(std::span<const std::byte> bytes) {
  return state::write_view(state_, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

int writer::fd() const noexcept { return state_ ? state_->fd.get() : -1; }

void writer::close() noexcept {
  if (state_) state_->close();
}

}  // namespace brood
