select 1; -- a number that another part of this change takes; goes away when they come together
