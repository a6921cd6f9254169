// Recursion, linked structures, pointers to pointers.
#include "show.h"
#include <stdlib.h>

struct node {
  int value;
  struct node *next;
};

static int depth_reached;

static void insert(struct node **head, int value) {
  struct node **at = head;
  while (*at && (*at)->value < value)
    at = &(*at)->next;
  struct node *fresh = malloc(sizeof *fresh);
  fresh->value = value;
  fresh->next = *at;
  AT(insert); // #BP insert
  P(head), P(*head), I(value), P(at), P(*at), P(fresh), I(fresh->value), P(fresh->next);
  *at = fresh;
}

static int sum(const struct node *n, int depth) {
  int rest = 0;
  if (depth > depth_reached)
    depth_reached = depth;
  if (n->next) {
    AT(down); // #BP down
    P(n), I(n->value), I(n->next->value), I(depth), I(rest), I(depth_reached);
    rest = sum(n->next, depth + 1);
  }
  AT(up); // #BP up
  I(n->value), I(depth), I(rest);
  return n->value + rest;
}

static void reverse(struct node **head) {
  struct node *done = NULL, *todo = *head;
  int moved = 0;
  while (todo) {
    struct node *next = todo->next;
    todo->next = done;
    done = todo;
    todo = next;
    moved++;
    AT(reverse); // #BP reverse
    P(head), I(done->value), P(todo), I(moved), P(next);
  }
  *head = done;
}

int main(void) {
  struct node *list = NULL;
  const int numbers[] = {30, 10, 20};
  for (int i = 0; i < 3; i++)
    insert(&list, numbers[i]);
  int total = sum(list, 1);
  reverse(&list);
  struct node **pp = &list;
  struct node ***ppp = &pp;
  AT(main); // #BP main
  I(list->value), I(list->next->value), I(list->next->next->value), T(list->next->next->next, "null");
  I(numbers[0]), I(numbers[1]), I(numbers[2]), I(total), I(depth_reached), I((*pp)->value), I((**ppp)->next->value);
  return 0;
}
