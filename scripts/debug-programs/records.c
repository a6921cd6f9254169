// Structures in structures, unions, bit fields, enumerations, arrays of structures, anonymous members.
#include "show.h"

enum color { RED, GREEN = 5, BLUE };
enum flags { READ = 1, WRITE = 2, EXEC = 4 };
struct point { short x, y; };
struct bits {
  unsigned a : 3;
  int b : 5;
  unsigned c : 12;
  _Bool d : 1;
  unsigned long long e : 40;
};
struct shape {
  enum color color;
  struct { struct point corners[2]; double weight; } body;
  union {
    int whole;
    float real;
    unsigned char raw[4];
  };
  struct bits bits;
  const char *name;
};
typedef struct shape shape_t;
union value { long long i; double d; char text[8]; };

static shape_t shapes[2] = {
    {RED, {{{1, 2}, {3, 4}}, 0.5}, {.whole = 7}, {5, -3, 2047, 1, 0x9876543210ULL}, "first"},
    {BLUE, {{{-1, -2}, {-3, -4}}, -2.25}, {.real = 1.5f}, {1, 15, 1, 0, 1}, "second"},
};

static double area(shape_t s, struct point by) {
  struct point *c = s.body.corners;
  c[1].x += by.x;
  s.name = "copy";
  double result = (c[1].x - c[0].x) * (double)(c[1].y - c[0].y);
  AT(area); // #BP area
  T(s.color, s.color == RED ? "RED" : "BLUE"), I(s.body.corners[0].x), I(s.body.corners[1].x), F(s.body.weight), I(s.whole), F(s.real),
      S(s.name), I(by.x), I(by.y), I(c->x), I(c[1].y), F(result);
  U(s.bits.a), I(s.bits.b), U(s.bits.c), B(s.bits.d), U(s.bits.e), U(s.raw[0]);
  return result;
}

int main(void) {
  shape_t *second = &shapes[1];
  struct point grid[2][3];
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 3; j++)
      grid[i][j] = (struct point){(short)(10 * i + j), (short)-j};
  union value v = {.d = 1.0};
  enum color color = GREEN;
  enum flags mode = READ | EXEC;
  struct { int first; struct { int deep; } second; } local = {1, {2}};
  double areas = area(shapes[0], grid[1][2]) + area(*second, (struct point){1, 1});
  v.text[0] = 'x';
  AT(main); // #BP main
  T(second->color, "BLUE"), I(second->body.corners[1].y), F(second->real), I(second->bits.b), S(second->name);
  I(grid[1][2].x), I(grid[0][1].y), I(grid[1][0].x), I(v.i), F(v.d), C(v.text[0]), T(color, "GREEN"), T(mode, "READ | EXEC");
  I(local.first), I(local.second.deep), F(areas), I(shapes[0].body.corners[1].x), T(shapes[1].color, "BLUE");
  shapes[0].bits.b = -16;
  shapes[0].bits.e = 0xffffffffffULL;
  AT(bits); // #BP bits
  I(shapes[0].bits.b), U(shapes[0].bits.e), U(shapes[0].bits.a), U(shapes[0].bits.c);
  P(second), T(second->color, "BLUE"), I(second->body.corners[0].x), F(second->body.weight), I(second->whole), B(second->bits.d), S(second->name);
  I(grid[0][2].x), I(grid[1][1].y), I(v.i), F(v.d), C(v.text[0]), T(color, "GREEN"), T(mode, "READ | EXEC");
  I(local.first), I(local.second.deep), F(areas);
  return 0;
}
