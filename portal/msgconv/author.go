package msgconv

import "maunium.net/go/mautrix/event"

// profiled applies the profile that an event brings for itself (MSC4144): the
// name that its text begins with for clients which do not know profiles goes,
// and the header has it, together with whoever sent it. Nobody speaks under
// another name alone.
func profiled(c *event.MessageEventContent, author *Author) (*event.MessageEventContent, *Author) {
	if c.BeeperPerMessageProfile == nil || cleanName(c.BeeperPerMessageProfile.Displayname) == "" {
		return c, author
	}
	own, profile := *c, *c.BeeperPerMessageProfile
	own.BeeperPerMessageProfile, own.NewContent = &profile, nil
	own.RemovePerMessageProfileFallback()
	by := Author{}
	if author != nil {
		by = *author
	}
	if by.Name = cleanName(by.Name); by.Name == "" {
		by.Name = cleanName(profile.Displayname)
	} else {
		by.Name = textProfile(cleanName(profile.Displayname), by.Name)
	}
	return &own, &by
}
