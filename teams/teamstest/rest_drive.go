package teamstest

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// The operations of files. Those of OpFileDownload and of uploads go to
// addresses outside Graph that Graph has given out.
const (
	OpDriveItem    Op = "drives.item"
	OpUploadStart  Op = "drives.createUploadSession"
	OpFileDownload Op = "files.download"
	OpUploadChunk  Op = "files.uploadChunk"
	OpUploadStatus Op = "files.uploadStatus"
	OpUploadCancel Op = "files.uploadCancel"
)

// driveRoutes are the routes of files. An item is named by its id, or by its
// path from one: "{id}:/{name}:".
func driveRoutes() []route {
	const item = "/drives/{drive}/items/{item}"
	return []route{
		{OpDriveItem, "GET", item, readsItems(), guarded(getDriveItem)},
		{OpDriveItem, "GET", item + "/{name}", readsItems(), guarded(getDriveItem)},
		{OpUploadStart, "POST", item + "/{name}/createUploadSession", uploads(), guarded(createUploadSession)},
	}
}

func readsItems() permission {
	names := []string{"Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All", "Sites.ReadWrite.All"}
	return permission{delegated: names, application: names}
}

// uploads leaves Files.ReadWrite out. Microsoft lists it for the call, and calls
// it the right to the person's own files; that a team's library is such is said
// nowhere.
func uploads() permission {
	return permission{
		delegated:   []string{"Files.ReadWrite.All", "Sites.ReadWrite.All"},
		application: []string{"Sites.ReadWrite.All"},
	}
}

func errItemNotFound() *apiError {
	return &apiError{Status: http.StatusNotFound, Code: "itemNotFound", Message: "The resource could not be found."}
}

func errAccessDenied() *apiError {
	return &apiError{Status: http.StatusForbidden, Code: "accessDenied", Message: "Access denied"}
}

func getFilesFolder(x *exchange) (*response, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	return jsonResponse(http.StatusOK, orderedObject{
		{"@odata.context", x.context("teams('" + c.team.ID + "')/channels('" + c.ID + "')/filesFolder/$entity")},
		{"id", c.folderID()},
		{"name", c.folder},
		{"createdDateTime", graphTime(c.created)},
		{"lastModifiedDateTime", graphTime(c.created)},
		{"webUrl", c.folderURL()},
		{"size", 0},
		{"parentReference", map[string]any{"driveId": c.driveID(), "driveType": "documentLibrary"}},
		{"folder", map[string]any{"childCount": len(c.files)}},
	}), nil
}

// findFolder finds the channel whose folder the path names, which the caller
// may see.
func (x *exchange) findFolder() (*Channel, *apiError) {
	for _, team := range x.t.teams {
		for _, c := range team.channels {
			if c.driveID() != x.vars["drive"] || c.folderID() != strings.TrimSuffix(x.vars["item"], ":") || c.deleted {
				continue
			}
			if !x.caller.App && !c.mayRead(x.caller.UserID) {
				return nil, errAccessDenied()
			}
			return c, nil
		}
	}
	return nil, errItemNotFound()
}

// getDriveItem finds a file by its path in a channel's folder, or by its id.
func getDriveItem(x *exchange) (*response, *apiError) {
	name, byPath := x.vars["name"]
	var f *File
	if byPath {
		c, refused := x.findFolder()
		if refused != nil {
			return nil, refused
		}
		f = c.file(strings.TrimSuffix(name, ":"))
	} else {
		f = x.t.item(x.vars["drive"], x.vars["item"])
	}
	switch {
	case f == nil:
		return nil, errItemNotFound()
	case f.refused || !x.caller.App && !f.ch.mayRead(x.caller.UserID):
		return nil, errAccessDenied()
	}
	return jsonResponse(http.StatusOK, x.driveItem(f)), nil
}

// item finds a file by its id.
func (t *Tenant) item(driveID, id string) *File {
	for _, team := range t.teams {
		for _, c := range team.channels {
			for _, f := range c.files {
				if f.ID == id && c.driveID() == driveID {
					return f
				}
			}
		}
	}
	return nil
}

// driveItem is a file on the wire, with an address to fetch it that works for
// an hour.
func (x *exchange) driveItem(f *File) orderedObject {
	token := x.t.ids.hex(16)
	x.t.drive.downloads[token] = download{f, x.t.clock.Now().Add(time.Hour)}
	kind := mime.TypeByExtension(path.Ext(f.Name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	o := orderedObject{
		{"@odata.context", x.context("drives('" + f.ch.driveID() + "')/items/$entity")},
		{"@microsoft.graph.downloadUrl", x.t.url + filesPath + "download/" + token},
		{"id", f.ID},
		{"name", f.Name},
		{"size", f.Content.Size()},
		{"eTag", `"{` + strings.ToUpper(f.GUID) + `},1"`},
		{"cTag", `"c:{` + strings.ToUpper(f.GUID) + `},1"`},
		{"webUrl", f.webURL()},
		{"createdDateTime", graphTime(f.created)},
		{"lastModifiedDateTime", graphTime(f.created)},
		{"parentReference", map[string]any{
			"driveId": f.ch.driveID(), "driveType": "documentLibrary", "id": f.ch.folderID(),
			"path": "/drives/" + f.ch.driveID() + "/root:/" + f.ch.folder,
		}},
		{"file", map[string]any{"mimeType": kind}},
	}
	if f.creator != nil {
		o = append(o, eventField{"createdBy", map[string]any{"user": map[string]any{"id": f.creator.ID, "displayName": f.creator.displayName}}})
	}
	if f.malware {
		o = append(o, eventField{"malware", map[string]any{"description": "Virus:DOS/EICAR_Test_File"}})
	}
	return o
}

// createUploadSession begins an upload.
func createUploadSession(x *exchange) (*response, *apiError) {
	c, refused := x.findFolder()
	if refused != nil {
		return nil, refused
	}
	var in struct {
		Item struct {
			Conflict string `json:"@microsoft.graph.conflictBehavior"`
		} `json:"item"`
	}
	if len(x.body) > 0 {
		if err := json.Unmarshal(x.body, &in); err != nil {
			return nil, errBadRequest("Unable to read JSON request payload.")
		}
	}
	name, ok := strings.CutSuffix(x.vars["name"], ":")
	if !ok || badFileName(name) {
		return nil, &apiError{Status: http.StatusBadRequest, Code: "invalidRequest", Message: "The provided name cannot contain the characters that it does, or is reserved."}
	}
	if c.archived || c.team.archived {
		return nil, errAccessDenied()
	}
	if in.Item.Conflict != "rename" && c.file(name) != nil {
		return nil, &apiError{Status: http.StatusConflict, Code: "nameAlreadyExists", Message: fmt.Sprintf("The specified item name already exists: %s", name)}
	}
	s := &uploadSession{ch: c, name: name, owner: x.t.user(x.caller.UserID), size: -1, until: x.t.clock.Now().Add(x.t.opts.uploadLife())}
	id := x.t.ids.hex(24)
	x.t.drive.sessions[id] = s
	return jsonResponse(http.StatusOK, orderedObject{
		{"@odata.context", x.context("microsoft.graph.uploadSession")},
		{"uploadUrl", x.t.url + filesPath + "upload/" + id},
		{"expirationDateTime", graphTime(s.until)},
		{"nextExpectedRanges", []string{"0-"}},
	}), nil
}

// badFileName reports whether SharePoint refuses a name.
func badFileName(name string) bool {
	base := strings.ToUpper(strings.SplitN(name, ".", 2)[0])
	return name == "" || len(name) > 400 || strings.ContainsAny(name, `"*:<>?/\|`) || strings.TrimSpace(name) != name ||
		strings.HasSuffix(name, ".") || strings.HasPrefix(name, "~$") || strings.Contains(name, "_vti_") ||
		base == "CON" || base == "PRN" || base == "AUX" || base == "NUL" || strings.EqualFold(name, "desktop.ini") || name == ".lock"
}
