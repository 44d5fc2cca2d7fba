/**
 * The gallery's scenarios of the group `recovery` (gallery.ts): their outcomes and golden figures.
 */
import { testGroup } from './gallery.js';

testGroup('recovery');
