package database

import "time"

// processStart is what times are counted from where the system has no better clock.
var processStart = time.Now()
