// expect: can be saved or loaded but not both
#include <string>

#include "brood/arena/codec.hpp"

class message {
 public:
  template <class A>
  void save(A& ar) const {
    ar(text_);
  }

 private:
  std::string text_;
};
auto encoded = brood::encode(message());
