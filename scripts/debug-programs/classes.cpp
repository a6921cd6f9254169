// Inheritance, virtual functions, several bases, references, members of this, statics of classes.
#include "show.h"
int main();

namespace zoo {
class Animal {
public:
  static int count;
  Animal(const char *name, int legs) : name_(name), legs_(legs) {
    count++;
    AT(animal); // #BP animal
    S(this->name_), I(this->legs_), S(name), I(legs), S(name_), I(legs_);
  }
  virtual ~Animal() { count--; }
  virtual int noise(int volume) = 0;

protected:
  friend int ::main();
  const char *name_;
  int legs_;
};
int Animal::count = 0;

struct Swimmer {
  virtual ~Swimmer() {}
  double depth = 1.5;
};

class Duck : public Animal, public Swimmer {
public:
  explicit Duck(int quacks) : Animal("duck", 2), quacks_(quacks) {}
  int noise(int volume) override {
    int all = volume * quacks_;
    AT(noise); // #BP noise
    S(this->name_), I(this->legs_), I(this->quacks_), F(this->depth), I(volume), I(all), I(quacks_), F(depth);
    return all;
  }

private:
  int quacks_;
};
} // namespace zoo

struct Vec {
  double x, y;
  Vec operator+(const Vec &other) const {
    Vec sum{x + other.x, y + other.y};
    AT(plus); // #BP plus
    F(this->x), F(this->y), F(other.x), F(other.y), F(sum.x), F(sum.y);
    return sum;
  }
  Vec &operator*=(double by) {
    x *= by;
    y *= by;
    AT(times); // #BP times
    F(x), F(y), F(by), F(this->y);
    return *this;
  }
};

static void swap(int &a, int &b, int &&c) {
  int t = a;
  a = b;
  b = t + c;
  AT(swap); // #BP swap
  I(a), I(b), I(c), I(t);
}

int main() {
  zoo::Duck duck(3);
  zoo::Animal &animal = duck;
  zoo::Swimmer *swimmer = &duck;
  swimmer->depth = 4.5;
  int noise = animal.noise(7);
  Vec a{1, 2}, b{10, 20}, c = a + b;
  c *= 0.5;
  int one = 1, two = 2;
  swap(one, two, 100);
  AT(main); // #BP main
  F(duck.depth), F(swimmer->depth), I(noise), F(a.x), F(b.y), F(c.x), F(c.y), I(one), I(two), I(zoo::Animal::count);
  S(animal.name_), I(animal.legs_), P(&animal), P(swimmer);
  return 0;
}
