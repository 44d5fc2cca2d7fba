/**
 * The gallery's scenarios of the group `sharing` (gallery.ts): their outcomes and golden figures.
 */
import { testGroup } from './gallery.js';

testGroup('sharing');
