/**
 * The gallery's scenarios of the group `bdp` (gallery.ts): their outcomes and golden figures.
 */
import { testGroup } from './gallery.js';

testGroup('bdp');
