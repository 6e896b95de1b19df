package teamstest

import (
	"bytes"
	"hash/fnv"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
)

// Avatar draws a small square picture out of a name: the same name always
// gives the same picture. The demo and tests use it as a photo.
func Avatar(name string, size int) *image.RGBA {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	bits := h.Sum64()
	ink := color.RGBA{uint8(60 + bits%140), uint8(60 + bits>>8%140), uint8(60 + bits>>16%140), 255}
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.RGBA{240, 240, 244, 255}), image.Point{}, draw.Src)
	cell := max(size/7, 1)
	for row := range 5 {
		for column := range 3 {
			if bits>>(24+row*3+column)&1 == 0 {
				continue
			}
			for _, x := range []int{column, 4 - column} {
				square := image.Rect((x+1)*cell, (row+1)*cell, (x+2)*cell, (row+2)*cell)
				draw.Draw(img, square, image.NewUniform(ink), image.Point{}, draw.Src)
			}
		}
	}
	return img
}

// Chart draws bars of the given heights, as people paste them into messages.
func Chart(heights []int, width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	highest := 1
	for _, h := range heights {
		highest = max(highest, h)
	}
	slot := width / max(len(heights), 1)
	for i, h := range heights {
		top := height - h*(height-10)/highest
		bar := image.Rect(i*slot+slot/5, top, (i+1)*slot-slot/5, height)
		draw.Draw(img, bar, image.NewUniform(color.RGBA{70, 110, 190, 255}), image.Point{}, draw.Src)
	}
	return img
}

// PNG encodes a picture.
func PNG(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic("teamstest: " + err.Error()) // a buffer takes everything
	}
	return b.Bytes()
}

// JPEG encodes a picture.
func JPEG(img image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic("teamstest: " + err.Error()) // a buffer takes everything
	}
	return b.Bytes()
}
