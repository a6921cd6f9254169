// What a program says of itself: the name of a marked line, then an expression and its value on each line.
#pragma once
#include <stdio.h>
#define AT(name) printf("#%s\n", #name)
#define I(x) printf("%s=%lld\n", #x, (long long)(x))
#define U(x) printf("%s=%llu\n", #x, (unsigned long long)(x))
#define F(x) printf("%s=%.17g\n", #x, (double)(x))
#define B(x) printf("%s=%s\n", #x, (x) ? "true" : "false")
#define C(x) printf("%s=%d '%c'\n", #x, (x), (x))
#define S(x) printf("%s=\"%s\"\n", #x, (x))
#define STR(x) printf("%s=\"%s\"\n", #x, (x).c_str())
#define P(x) printf((x) ? "%s=0x%lx\n" : "%s=null\n", #x, (unsigned long)(x))
// For what only a debugger can name: the expression, and its value by other means.
#define AS(expression, x) printf("%s=%lld\n", expression, (long long)(x))
#define T(x, text) printf("%s=%s\n", #x, text)
