/**
 * The gallery's scenarios of the group `loss` (gallery.ts): their outcomes and golden figures.
 */
import { testGroup } from './gallery.js';

testGroup('loss');
