// The ends of pipes; what they are made of is drawn in the header.
#include "brood/channel/detail/pipe_end.hpp"

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/object_kit.hpp"
#include "brood/arena/detail/wait_operation.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/channel/detail/fd_object.hpp"
#include "brood/channel/pipe.hpp"

namespace brood::detail {
namespace {

/// Nobody has the end any more: the other one sends no more, and drains. The references go with the block. One that
/// is `dying` already belongs to a clean-up that was killed here before, and its queue is closed.
void destroy_end(arena& memory, reference block) {
  auto& s = memory.map.state_at<pipe_end_state>(block);
  for (const word* queue : {&s.in, &s.out}) {
    const std::uint64_t value = queue->load(std::memory_order_acquire);
    if (cell_kind(value) == held::object) close_queue(memory, cell_reference(value));
    kill_point();
  }
}

const object_kind end_functions{destroy_end, nullptr, nullptr};
const bool registered = [] {
  register_object_kind(pipe_end_kind, end_functions);
  return true;
}();

std::shared_ptr<queue_core> queue_named(arena& memory, const word& reference_to) {
  const reference block = cell_reference(reference_to.load(std::memory_order_acquire));
  return block == 0 ? nullptr : open_object<queue_core>(memory, {block, memory.heap.generation_of(block)});
}

/// Waits until there is a reason to try, and takes nothing.
template <bool Sends>
class ready_awaiter final : public wait_operation<ready_awaiter<Sends>> {
 public:
  ready_awaiter(std::shared_ptr<pipe_end> end, std::shared_ptr<queue_core> queue)
      : end_(std::move(end)), queue_(std::move(queue)) {}
  bool attempt() const noexcept { return end_->is_closed() || queue_->is_closed() || places() > 0; }
  /// Beside the one this will take.
  bool more() const noexcept { return queue_->is_closed() || places() > 1; }
  wait_list& list() const noexcept { return Sends ? queue_->putters() : queue_->getters(); }
  arena& memory() const noexcept { return queue_->memory(); }
  void await_resume() { this->take(); }

 private:
  std::uint64_t places() const noexcept {
    return Sends ? queue_->capacity() - queue_->size() : queue_->size();
  }

  std::shared_ptr<pipe_end> end_;
  std::shared_ptr<queue_core> queue_;
};

channel_outcome outcome_of(put_outcome outcome) noexcept {
  if (outcome == put_outcome::full) return channel_outcome::wait;
  return outcome == put_outcome::done ? channel_outcome::done : channel_outcome::closed;
}
channel_outcome outcome_of(take_outcome outcome) noexcept {
  if (outcome == take_outcome::empty) return channel_outcome::wait;
  return outcome == take_outcome::done ? channel_outcome::done : channel_outcome::closed;
}

}  // namespace

// ---- making and opening ----

std::shared_ptr<pipe_end> pipe_end::create(arena& memory, const queue& in, const queue& out) {
  auto end = create_object<pipe_end>(memory, sizeof(pipe_end_state), true, [&](reference block) {
    memory.map.at<block_header>(block).attached.store(2, std::memory_order_release);
    auto& s = memory.map.state_at<pipe_end_state>(block);
    if (in != nullptr) memory.acquire(in->name().block, queue_kind, in->name().generation, s.in);
    if (out != nullptr) memory.acquire(out->name().block, queue_kind, out->name().generation, s.out);
  });
  end->in_ = in;
  end->out_ = out;
  return end;
}

pipe_end::pipe_end(arena& memory, reference block, word& cell)
    : shared_object(memory, block, pipe_end_kind, cell) {}
pipe_end::pipe_end(arena& memory, object_name name) : shared_object(memory, name, pipe_end_kind) {
  const auto& s = memory.map.state_at<pipe_end_state>(name.block);
  in_ = queue_named(memory, s.in);
  out_ = queue_named(memory, s.out);
}

channel_pair make_pipe(std::uint64_t capacity, bool both_ways) {
  arena& memory = family_memory::get();
  const auto forth = queue_core::create(memory, capacity, most_inline);
  const auto back = both_ways ? queue_core::create(memory, capacity, most_inline) : nullptr;
  // `pipe` promises that the first end can send, `one_way_pipe` that it receives.
  auto first = pipe_end::create(memory, forth, back);
  return {std::move(first), pipe_end::create(memory, back, forth)};
}

std::shared_ptr<message_channel> open_channel(object_name name, bool receives, bool sends) {
  arena& memory = family_memory::get();
  if (!memory.heap.payload(name.block, fd_kind).empty()) {
    return open_decoded([&] { return fd_object::channel(open_object<fd_object>(memory, name)); });
  }
  const auto end = open_decoded([&] { return open_object<pipe_end>(memory, name); });
  if (end->receives() != receives || end->sends() != sends)
    throw decode_error("an end of another kind of pipe");
  return end;
}

object_name pipe_end::travel() {
  if (is_closed()) throw closed();
  travelling_objects::note(shared_from_this());
  return name();
}

// ---- messages ----

outbound_message pipe_end::prepare(const message_writer& write) {
  if (is_closed()) throw closed();
  outbound_message message;
  std::get<outgoing_message>(message).fill(memory(), out_->inline_bytes(), write);
  return message;
}

channel_outcome pipe_end::try_send(outbound_message& message) {
  if (is_closed()) return channel_outcome::closed;
  return outcome_of(out_->put(std::get<outgoing_message>(message)));
}

channel_outcome pipe_end::try_receive(inbound_message& message) {
  if (is_closed()) return channel_outcome::closed;
  return outcome_of(in_->take(message.shared()));
}

bool pipe_end::is_readable() { return is_closed() || in_->is_closed() || in_->size() > 0; }

task<> pipe_end::writable() {
  if (!is_closed()) co_await ready_awaiter<true>(shared_from_this(), out_);
}
task<> pipe_end::readable() {
  if (!is_closed()) co_await ready_awaiter<false>(shared_from_this(), in_);
}

void pipe_end::close() noexcept {
  if (is_closed()) return;
  closed_ = true;
  let_go();
  for (queue& q : {std::ref(in_), std::ref(out_)}) {
    if (q == nullptr) continue;
    q->wake_waiters();  // ours among them; the end may live on in other processes
    q.reset();
  }
}

}  // namespace brood::detail
