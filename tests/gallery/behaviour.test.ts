/**
 * The gallery's scenarios of the group `behaviour` (gallery.ts): their outcomes and golden figures.
 */
import { testGroup } from './gallery.js';

testGroup('behaviour');
