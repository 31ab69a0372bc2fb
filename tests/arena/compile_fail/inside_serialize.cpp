// expect: a pointer cannot travel
#include <string>

#include "brood/arena/codec.hpp"

class message {
 public:
  template <class A>
  void serialize(A& ar) {
    ar(text_);
  }

 private:
  char* text_ = nullptr;
};
auto encoded = brood::encode(message());
