// The values of a generator that runs in a manager's server, one by one.
#pragma once

#include <optional>
#include <stdexcept>
#include <utility>

#include "brood/coroutine/generator.hpp"
#include "brood/manager/detail/method_entry.hpp"
#include "brood/manager/detail/proxy.hpp"

namespace brood::remote {

/// The server's side.
template <class R>
class stream {
 public:
  explicit stream(generator<R> values) noexcept : values_(std::move(values)) {}

  task<std::optional<R>> next() {
    if (busy_) throw std::logic_error("a stream that is being read");  // by a client that is none of ours
    const reading here(busy_);
    co_return co_await values_.next();
  }

  /// Writes the handle of a new one as a value.
  static void begin(bytes& out, argument_reader& in, generator<R> values);

 private:
  struct reading {
    explicit reading(bool& flag) noexcept : busy(flag) { busy = true; }
    ~reading() { busy = false; }
    bool& busy;
  };

  generator<R> values_;
  bool busy_ = false;
};

/// The client's.
template <class R>
class stream_proxy : public proxy_of<stream_proxy<R>> {
 public:
  using proxy_of<stream_proxy>::proxy_of;
  static std::uint64_t type() { return class_identity<stream<R>>::name(); }

  auto next() const {
    request what(this->object(), method_entry<stream<R>, &stream<R>::next>::name());
    return remote_call(std::move(what), to_value<std::optional<R>>());
  }
};

template <class R>
void stream<R>::begin(bytes& out, argument_reader& in, generator<R> values) {
  static const registration its_class = [] {
    registration r(&class_identity<stream>::here);
    r.destroy = [](void* object) noexcept { delete static_cast<stream*>(object); };
    return r;
  }();
  // A client will ask for its values, also of a server whose program reads no stream itself.
  static_cast<void>(&method_entry<stream, &stream::next>::node);
  const number made = in.keep(its_class, new stream(std::move(values)), stream_proxy<R>::type());
  const home_scope scope(in.home().get());
  put_value(out, in.home().get(), stream_proxy<R>(arrive_home(made, stream_proxy<R>::type())));
}

template <class R>
generator<R> read_stream(remote_call<to_value<stream_proxy<R>>> opening) {
  const stream_proxy<R> from = co_await std::move(opening);
  for (;;) {
    std::optional<R> value = co_await from.next();
    if (!value) co_return;
    co_yield moved{*value};
  }
}

}  // namespace brood::remote
