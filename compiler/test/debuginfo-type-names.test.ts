import { expect, it } from 'vitest';
import { shortTypeName } from '../debuginfo/type-names.ts';

it.each([
  ['int *', 'int *'],
  ['std::__2::vector<int, std::__2::allocator<int> >', 'std::vector<int>'],
  ['std::__2::basic_string<char, std::__2::char_traits<char>, std::__2::allocator<char> >', 'std::string'],
  [
    'std::__2::map<std::__2::basic_string<char, std::__2::char_traits<char>, std::__2::allocator<char> >, int, std::__2::less<std::__2::basic_string<char, std::__2::char_traits<char>, std::__2::allocator<char> > >, std::__2::allocator<std::__2::pair<const std::__2::basic_string<char, std::__2::char_traits<char>, std::__2::allocator<char> >, int> > >',
    'std::map<std::string, int>',
  ],
  ['std::__2::unique_ptr<Node, std::__2::default_delete<Node> >', 'std::unique_ptr<Node>'],
  // Not the default: it stays.
  [
    'std::__2::set<int, std::__2::greater<int>, std::__2::allocator<int> >',
    'std::set<int, std::greater<int>>',
  ],
  ['std::__2::vector<int, pool::allocator<int> >', 'std::vector<int, pool::allocator<int>>'],
  ['alloc::vec::Vec<alloc::string::String, alloc::alloc::Global>', 'alloc::vec::Vec<alloc::string::String>'],
  [
    'alloc::boxed::Box<dyn core::ops::function::Fn<(i32), Output=i32>, alloc::alloc::Global>',
    'alloc::boxed::Box<dyn core::ops::function::Fn<(i32), Output=i32>>',
  ],
  ['fn(i32) -> i32', 'fn(i32) -> i32'],
  // Broken off.
  ['std::__2::vector<int, std::__2::allocator<int', 'std::vector<int, std::allocator<int'],
])('%s', (name, short) => {
  expect(shortTypeName(name)).toBe(short);
});

it('takes time in proportion to the name', () => {
  expect(shortTypeName(', std::less<'.repeat(300))).toHaveLength(3600);
});
